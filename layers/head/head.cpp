#include "layers/head/head.h"
#include <algorithm>
#include "core/device.h"

namespace layers {
namespace {

/// Copies the elements of a tensor to the host.
template <class T>
std::vector<T> on_host(core::Tensor const& tensor) {
  std::vector<T> values(static_cast<size_t>(tensor.count()));
  tensor.device().download(tensor, values.data());
  return values;
}

std::vector<double> as_doubles(core::Tensor const& tensor) {
  if (tensor.dtype() == core::Dtype::f64) return on_host<double>(tensor);
  auto const narrow = on_host<float>(tensor);
  return {narrow.begin(), narrow.end()};
}

}  // namespace

void check_head(int64_t classes, int64_t features) {
  core::check(classes > 0 && features > 0, "head: ", classes, " classes and ", features,
              " features; both must be positive");
}

void check_deferred(HeadStep const& step) {
  core::check(step.deferred || !step.summed,
              "head: HeadStep::summed combines several losses, so the update must be deferred");
}

void check_rules(HeadStep const& step, Moments kept) {
  for (core::UpdateRule const& rule : {step.weight, step.bias}) {
    core::check(rule.step_scalars && rule.step_scalars.count() == 4 &&
                    rule.step_scalars.dtype() == core::Dtype::f64,
                "head: UpdateRule::step_scalars must be an f64 tensor of shape (4); "
                "create it with core::make_step_scalars");
    bool const adam = rule.kind != core::Rule::sgd;
    core::check(
        !adam || kept == Moments::both,
        "head: the rule is Adam, but the head has no moments; create it with Moments::both");
    core::check(adam || kept != Moments::both,
                "head: the rule is SGD, but the head has the moments of Adam (Moments::both)");
    core::check(rule.momentum == 0 || kept != Moments::none,
                "head: the rule has momentum, but the head was created without velocities");
  }
  core::check(step.trust_coefficient == 0 || step.weight.kind == core::Rule::sgd,
              "head: LARS (trust_coefficient > 0) requires SGD, not Adam");
}

void check_batch(core::Tensor const& x, core::Tensor const& labels, comm::Counts const& counts,
                 int64_t features, core::Dtype dtype) {
  core::check(x.shape() == core::Shape{labels.size(0), features} && x.dtype() == dtype,
              "head: features ", x.shape(), ' ', x.dtype(), " for ", labels.size(0),
              " labels; expected ", features, " features in ", dtype);
  core::check(comm::begin_of(counts, static_cast<int>(counts.size())) > 0,
              "head: the global batch is empty");
}

std::vector<Head::State> named_state(core::UpdateState const& weight,
                                     core::UpdateState const& bias) {
  std::vector<Head::State> all;
  auto const add = [&](std::string const& name, core::UpdateState const& state) {
    if (!state.w) return;
    all.push_back({name, state.w});
    // One moment is the velocity of SGD; two are the moments of Adam.
    if (state.first) all.push_back({name + (state.second ? ".first" : ".velocity"), state.first});
    if (state.second) all.push_back({name + ".second", state.second});
  };
  add("head.weight", weight);
  add("head.bias", bias);
  return all;
}

core::Tensor gather_rows(comm::Communicator& ranks, core::Tensor const& mine,
                         comm::Counts const& counts) {
  auto shape = mine.shape();
  shape[0] = comm::begin_of(counts, ranks.size());
  core::Tensor all(mine.device(), shape, mine.dtype());
  ranks.all_gather(mine, counts, all)->wait();
  return all;
}

core::Tensor exchange_blocks(comm::Communicator& ranks, core::Tensor const& mine,
                             comm::Counts const& blocks) {
  int64_t const size = ranks.size(), count = blocks[static_cast<size_t>(ranks.rank())];
  auto shape = mine.shape();
  shape[0] = size * count;
  core::Tensor received(mine.device(), shape, mine.dtype());
  comm::Counts const from(static_cast<size_t>(size), count);
  ranks.all_to_all(mine, blocks, received, from)->wait();
  shape[0] = count;
  shape.insert(shape.begin(), size);
  return received.reshape(shape);
}

TopK merge_top_k(comm::Communicator& ranks, core::Tensor const& scores,
                 core::Tensor const& classes) {
  struct Candidate {
    double score;
    int64_t label;
  };
  auto const blocks = comm::split_evenly(scores.size(0), ranks.size());
  auto const score = as_doubles(exchange_blocks(ranks, scores, blocks));
  auto const label = on_host<int64_t>(exchange_blocks(ranks, classes, blocks));
  int64_t const rows = blocks[static_cast<size_t>(ranks.rank())], k = scores.size(1);

  TopK best{rows, static_cast<int>(k), {}, {}};
  std::vector<Candidate> row(static_cast<size_t>(ranks.size() * k));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < std::ssize(row); ++i) {
      auto const from = static_cast<size_t>((i / k * rows + r) * k + i % k);
      row[static_cast<size_t>(i)] = {score[from], label[from]};
    }
    // Shards are in class order, and each lists equal scores by class. A stable sort preserves
    // both.
    std::stable_sort(row.begin(), row.end(),
                     [](Candidate const& a, Candidate const& b) { return a.score > b.score; });
    for (int64_t i = 0; i < k; ++i) {
      best.classes.push_back(row[static_cast<size_t>(i)].label);
      best.scores.push_back(row[static_cast<size_t>(i)].score);
    }
  }
  return join_top_k(ranks, scores.device(), best, blocks);
}

TopK join_top_k(comm::Communicator& ranks, core::Device& device, TopK const& mine,
                comm::Counts const& counts) {
  auto const gathered = [&]<class T>(std::vector<T> const& values, core::Dtype dtype) {
    core::Tensor part(device, {mine.rows, mine.k}, dtype);
    device.upload(values.data(), part);
    return on_host<T>(gather_rows(ranks, part, counts));
  };
  return {comm::begin_of(counts, ranks.size()), mine.k, gathered(mine.classes, core::Dtype::i64),
          gathered(mine.scores, core::Dtype::f64)};
}

}  // namespace layers
