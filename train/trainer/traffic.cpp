#include "train/trainer/traffic.h"
#include <algorithm>
#include <iomanip>
#include <sstream>
#include "core/device.h"
#include "layers/head/merge_statistics.h"

namespace train {
namespace {

using comm::Collective;
using core::math::RowGradient;
using core::math::RowStatistics;

/// Formats the mean per rank and step, "12345.7"; "-" if `sum` is negative: unknown.
std::string per_step(int64_t sum, int64_t ranks, int64_t steps) {
  if (sum < 0) return "-";
  std::ostringstream text;
  text << std::fixed << std::setprecision(1)
       << static_cast<double>(sum) / static_cast<double>(ranks * steps);
  return text.str();
}

constexpr int64_t wide = 4;  // bytes of f32, the dtype in which sums are sent

/// Adds the merge of row statistics: layers::merge_statistics for each micro-batch of a replica.
template <class Add>
void add_statistics(StepSizes const& s, Add const& add) {
  int64_t const calls = s.parts * s.ranks / s.shards, bytes = s.batch * RowStatistics::count * wide;
  if (!layers::merges_by_rows(static_cast<int>(s.shards), s.batch / calls, wide)) {
    add(s.shards, "statistics", Collective::all_gather, s.shards * bytes);
    return;
  }
  add(s.shards, "statistics", Collective::all_to_all, bytes);
  add(s.shards, "statistics", Collective::all_gather, s.batch * RowGradient::count * wide);
  add(s.shards, "statistics", Collective::all_reduce, calls * 2 * 8);
}

/// Adds the collectives of the class-sharded head by add(ranks of a group, label, collective, bytes
/// over all groups).
template <class Add>
void add_sharded_head(StepSizes const& s, Add const& add) {
  int64_t const shards = s.shards, replicas = s.ranks / shards;
  int64_t const features = s.batch * s.features;
  add(shards, "features", Collective::all_gather, features * s.feature_bytes);
  add(shards, "labels", Collective::all_gather, s.batch * static_cast<int64_t>(sizeof(int64_t)));
  if (s.head == HeadKind::curricularface)
    add(shards, "target products", Collective::all_reduce, s.batch * wide);
  add_statistics(s, add);
  add(shards, "features' gradient", Collective::reduce_scatter, features * wide);
  if (s.clipped) add(shards, "gradient norm", Collective::all_reduce, replicas * 8);
  if (replicas == 1) return;
  bool const adaptive = s.head == HeadKind::adaface;
  if (adaptive || s.head == HeadKind::curricularface)  // norms and labels, and target products
    add(replicas, "margins", Collective::all_gather,
        shards * s.batch * (static_cast<int64_t>(sizeof(int64_t)) + (adaptive ? 1 : 2) * wide));
  add(replicas, "loss", Collective::all_reduce, shards * s.parts * 2 * 8);
  // With gradient clipping, the gradient of the weights is summed twice: for the norm and for the
  // update.
  int64_t const times = s.clipped ? 2 : 1, row = s.features + (s.bias ? 1 : 0);
  add(replicas, "weights' gradient", Collective::all_reduce, times * s.classes * row * wide);
}

}  // namespace

StepSizes step_sizes(Experiment const& experiment, Model const& model, int ranks) {
  StepSizes sizes{.ranks = ranks,
                  .features = model.trunk->features(),
                  .feature_bytes = static_cast<int64_t>(size_of(model.dtype)),
                  .classes = model.head->classes(),
                  .shards = experiment.head.shards.value_or(ranks),
                  .head = experiment.head.kind,
                  .bias = experiment.head.bias,
                  .clipped = experiment.optimizer.max_grad_norm.has_value(),
                  .parts = experiment.optimizer.accumulation_steps,
                  .batch_norm = experiment.model.batch_norm};
  for (auto const* p : layers::parameters(*model.trunk)) {
    auto const bytes = static_cast<int64_t>(p->value.bytes());
    if (p->trainable()) sizes.gradient_bytes += bytes;
    if (p->role == core::Role::statistics) sizes.statistics_bytes += bytes;
  }
  return sizes;
}

comm::Traffic traffic_by_formula(StepSizes const& s) {
  comm::Traffic traffic;
  // Bytes summed over P ranks: an all-gather sends its result to P ranks, each of which already has
  // its own part; a reduce-scatter sends P terms of all rows, one of which is local; an all-reduce
  // is a reduce-scatter followed by an all-gather.
  auto const add_in = [&](int64_t ranks, char const* label, Collective what, int64_t bytes) {
    int64_t const ways = what == Collective::all_reduce ? 2 : 1;
    int64_t const moved = ways * (ranks - 1) * bytes;
    traffic.add(label, what, {moved, moved});
  };
  auto const add = [&](char const* label, Collective what, int64_t bytes) {
    add_in(s.ranks, label, what, bytes);
  };
  if (s.batch_norm == BatchNormKind::sync)
    // A channel has a running mean and variance. For each channel, every rank sends a count, a mean
    // and a variance in forward, and two sums in backward.
    add("batch norm", Collective::all_gather, s.ranks * s.statistics_bytes / 2 * (3 + 2));
  if (s.head == HeadKind::row_parallel) {
    int64_t const features = s.batch * s.features;
    add("features", Collective::all_gather, features * s.feature_bytes);
    add("labels", Collective::all_gather, s.batch * static_cast<int64_t>(sizeof(int64_t)));
    add("split linear", Collective::all_reduce, s.batch * s.classes * wide);
    add("split linear", Collective::all_gather, features * s.feature_bytes);
    if (s.clipped) add("gradient norm", Collective::all_reduce, 8);
  } else {
    add_sharded_head(s, add_in);
  }
  add("trunk gradients", Collective::all_reduce, s.gradient_bytes);
  if (s.statistics_bytes > 0) add("running statistics", Collective::all_reduce, s.statistics_bytes);
  return traffic;
}

StepTraffic::StepTraffic(comm::Communicator& ranks) : ranks_(ranks), metered_(ranks, counted_) {
  counted_.pause();
}

void StepTraffic::end_step(StepSizes const& sizes) {
  counted_.pause();
  ++steps_;
  auto const expected = traffic_by_formula(sizes);
  for (auto const& row : expected.rows()) by_formula_.add(row.label, row.what, row.moved);
}

void StepTraffic::clear() {
  counted_.clear();
  by_formula_.clear();
  steps_ = 0;
}

std::vector<StepTraffic::Row> StepTraffic::rows(core::Device& device) const {
  std::vector<int64_t> sums;
  for (auto const& row : counted_.rows())
    sums.insert(sums.end(), {row.moved.sent, row.moved.received});
  core::Tensor all(device, {std::ssize(sums)}, core::Dtype::i64);
  device.upload(sums.data(), all);
  ranks_.all_reduce(all, comm::Reduce::sum)->wait();
  device.download(all, sums.data());

  std::vector<Row> rows;
  for (auto const& [label, what, calls, moved] : counted_.rows()) {
    auto const* const formula = by_formula_.find(label, what);
    auto const at = 2 * rows.size();
    rows.push_back({label, what, calls, sums[at], sums[at + 1],
                    formula == nullptr ? -1 : formula->moved.sent});
  }
  return rows;
}

std::string StepTraffic::table(core::Device& device) const {
  if (steps_ == 0) return {};
  int64_t const ranks = ranks_.size();
  std::ostringstream text;
  auto const line = [&](std::string const& name, std::string const& what, std::string const& calls,
                        std::string const& bytes, std::string const& formula) {
    text << std::left << std::setw(20) << name << std::setw(16) << what << std::right
         << std::setw(10) << calls << std::setw(16) << bytes << std::setw(16) << formula << '\n';
  };
  line("sent by a rank", "collective", "calls/step", "bytes/step", "by formula");
  int64_t sent = 0, by_formula = 0;
  for (auto const& row : rows(device)) {
    line(row.label.empty() ? "(no name)" : row.label, comm::name(row.what),
         per_step(row.calls, 1, steps_), per_step(row.sent, ranks, steps_),
         per_step(row.by_formula, ranks, steps_));
    sent += row.sent;
    by_formula += std::max<int64_t>(row.by_formula, 0);
  }
  line("sum", "", "", per_step(sent, ranks, steps_), per_step(by_formula, ranks, steps_));
  return text.str();
}

}  // namespace train
