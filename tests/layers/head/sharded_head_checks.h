#pragma once
#include "comm/mesh.h"
#include "comm/self.h"
#include "tests/layers/head/heads.h"

/// Checks for any communicator: used on one rank and under mpirun.
namespace tests {

/// A head configuration with its step and its batches.
struct HeadCase {
  std::string name;
  layers::ShardedHead::Options options;
  core::UpdateRule weight, bias;
  double trust_coefficient = 0;  ///< LARS
  double sampling_rate = 1;
  bool class_weights = false;
  bool ignored = false;  ///< the batch has a row with a negative label
  bool deferred = false;
  int batches = 1;  ///< number of batches per step
};

inline std::ostream& operator<<(std::ostream& out, HeadCase const& c) {
  return out << c.name << ", " << c.options.classes << " classes, bias " << c.options.bias
             << ", logits " << int(c.options.logits) << ", plan " << int(c.options.passes)
             << ", chunk " << c.options.chunk;
}

/// Softmax with momentum, Nesterov and weight decay in SGD.
inline HeadCase softmax_case(int64_t classes, bool bias, layers::Logits logits, int64_t chunk,
                             int64_t features = 5) {
  HeadCase c{.name = "softmax"};
  // Larger initial weights than usual, so that the softmax is far from uniform.
  c.options = {.classes = classes,
               .features = features,
               .bias = bias,
               .chunk = chunk,
               .logits = logits,
               .init_std = 0.5};
  c.weight.momentum = 0.9;
  c.weight.decay = 0.01;
  c.weight.nesterov = true;
  c.bias.momentum = 0.8;
  return c;
}

inline double class_weight(int64_t c) { return 0.25 + double(c % 5); }

/// Creates the dense head with the initial weight and bias of the sharded one.
inline DenseHead dense_start(core::Device& device, core::Dtype dtype, HeadCase const& c) {
  comm::Self self;
  layers::ShardedHead whole({device, dtype}, self, c.options);
  auto const bias = state_of(whole, "head.bias");
  DenseHead dense(c.options.classes, c.options.features, values(state_of(whole, "head.weight")),
                  bias ? values(bias) : Numbers{}, c.options.loss);
  for (int64_t label = 0; c.class_weights && label < c.options.classes; ++label)
    dense.class_weights.push_back(class_weight(label));
  dense.dense_rows = c.options.unsampled == layers::UnsampledRows::dense;
  return dense;
}

inline void give_class_weights(core::Device& device, layers::ShardedHead& head, core::Dtype dtype) {
  std::vector<double> mine;
  for (int64_t c = head.begin(); c < head.begin() + head.count(); ++c)
    mine.push_back(class_weight(c));
  head.set_class_weights(tensor(device, {head.count()}, core::accumulator(dtype), mine));
}

/// Sets the sampled classes of step `number` and their log-Q corrections.
inline void draw(DenseHead& dense, HeadCase const& c, int64_t number,
                 std::vector<int64_t> const& labels) {
  if (c.sampling_rate == 1) return;
  auto const classes = size_t(c.options.classes);
  dense.sampled.assign(classes, false);
  for (int64_t const label :
       layers::drawn_classes({1, number, c.sampling_rate}, 0, c.options.classes, labels))
    dense.sampled[size_t(label)] = true;
  if (!c.options.log_q) return;
  dense.log_q.assign(classes, std::log(c.sampling_rate));
  for (int64_t const label : labels)
    if (label >= 0) dense.log_q[size_t(label)] = 0;
}

/// Several batches concatenated.
struct JoinedBatch {
  Numbers x;
  std::vector<int64_t> labels;
};

inline JoinedBatch joined(std::vector<HeadBatch> const& batches) {
  JoinedBatch all;
  for (auto const& batch : batches) {
    all.x.insert(all.x.end(), batch.all_x.begin(), batch.all_x.end());
    all.labels.insert(all.labels.end(), batch.all_labels.begin(), batch.all_labels.end());
  }
  return all;
}

/// The batches of a step, all but the first smaller by one row.
inline std::vector<HeadBatch> batches_of(comm::Communicator& ranks, core::Device& device,
                                         core::Dtype dtype, HeadCase const& c, unsigned step) {
  std::vector<HeadBatch> all;
  for (int i = 0; i < c.batches; ++i) {
    auto counts = uneven(ranks.size());
    if (i > 0) counts[0] -= 1;
    all.push_back(head_batch(device, ranks, counts, c.options.classes, c.options.features, dtype,
                             step + 10 * unsigned(i), c.ignored ? 2 : -1));
  }
  return all;
}

/// Whether |a - b| is small relative to |b|, or both are nearly zero: with one class, gradients are
/// exactly zero.
inline bool near(Numbers const& a, Numbers const& b, double bound) {
  double gap = 0, size = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    gap += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return a.size() == b.size() && std::sqrt(gap) <= bound * (std::sqrt(size) + 1e-3);
}

/// Checks dX of this rank's rows of each batch, and the losses.
inline void check_results(comm::Communicator& ranks, HeadCase const& c, DenseHead const& dense,
                          std::vector<HeadBatch> const& batches,
                          std::vector<HeadResult> const& results, double factor, double bound) {
  CHECK(value(results.back().loss) == Approx(dense.loss).epsilon(bound).margin(bound));
  for (double const other : of_all_ranks(ranks, results.back().loss))
    CHECK(other == value(results.back().loss));
  int64_t row = 0;
  for (size_t i = 0; i < batches.size(); ++i) {
    int64_t const begin = row + comm::begin_of(batches[i].counts, ranks.rank());
    row += comm::begin_of(batches[i].counts, ranks.size());
    auto const expected = part(dense.dx, begin, begin + batches[i].x.size(0), c.options.features);
    Numbers mine = values(results[i].dx);
    for (double& number : mine) number *= factor;
    CHECK(near(mine, expected, bound));
  }
}

inline void check_state(layers::ShardedHead& head, HeadCase const& c, DenseHead const& dense,
                        double bound) {
  auto const same = [&](std::string const& name, Numbers const& whole, int64_t columns) {
    auto const mine = part(whole, head.begin(), head.begin() + head.count(), columns);
    INFO(name);
    CHECK(near(values(state_of(head, name)), mine, bound));
  };
  bool const adam = c.weight.kind != core::Rule::sgd;
  auto const all = [&](std::string const& name, DenseState const& state, int64_t columns) {
    same(name, state.w, columns);
    same(name + (adam ? ".first" : ".velocity"), state.first, columns);
    if (adam) same(name + ".second", state.second, columns);
  };
  all("head.weight", dense.weight, c.options.features);
  CHECK(bool(state_of(head, "head.bias")) == c.options.bias);
  if (c.options.bias) all("head.bias", dense.bias, 1);
}

/// A head on a mesh, constructed as in training.
inline layers::ShardedHead head_on(comm::Mesh& mesh, layers::Context const& context,
                                   layers::ShardedHead::Options const& options) {
  auto* const replicas = mesh.replicas().size() > 1 ? &mesh.replicas() : nullptr;
  return {context, mesh.shards(), options, replicas};
}

/// Checks that the replicas of a head have the same bits.
inline void check_replicas(comm::Mesh& mesh, layers::ShardedHead& head) {
  for (auto const& [name, tensor] : head.state()) {
    INFO(name);
    auto const mine = values(tensor), all = of_all_ranks(mesh.replicas(), tensor);
    for (size_t i = 0; i < all.size(); i += mine.size())
      CHECK(Numbers(all.begin() + int64_t(i), all.begin() + int64_t(i + mine.size())) == mine);
  }
}

/// Checks two steps against the dense head: losses, dX, gradient norms and state. shards: ranks per
/// row of the mesh; 0: all ranks.
inline void check_head(comm::Communicator& ranks, core::Device& device, core::Dtype dtype,
                       HeadCase const& c, double bound, int shards = 0) {
  INFO(c << ", " << dtype << ", " << ranks.size() << " ranks, " << shards << " shards");
  comm::Mesh mesh(ranks, shards);
  auto head = head_on(mesh, {device, dtype}, c.options);
  if (c.class_weights) give_class_weights(device, head, dtype);
  auto dense = dense_start(device, dtype, c);
  for (int64_t number = 1; number <= 2; ++number) {
    auto const batches = batches_of(ranks, device, dtype, c, unsigned(number));
    auto const all = joined(batches);
    draw(dense, c, number, all.labels);
    dense.evaluate(all.x, all.labels);

    layers::HeadStep step{at_step(device, c.weight, full_rate, number),
                          at_step(device, c.bias, full_rate, number)};
    step.trust_coefficient = c.trust_coefficient;
    step.number = number;
    step.sampling_rate = c.sampling_rate;
    step.deferred = c.deferred;
    step.summed = c.batches > 1;
    head.set_step(step);
    std::vector<HeadResult> results;
    for (auto const& batch : batches) results.push_back(forward_backward(head, batch));
    double const factor = step.summed ? value(head.gradient_scale()) : 1;
    check_results(ranks, c, dense, batches, results, factor, bound);
    double clip = 1;
    if (c.deferred) {
      auto squares = core::scalar(device, 0), limit = head.gradient_scale();
      head.add_gradient_squared_norm(squares);
      double const norm = std::sqrt(dense.squares());
      CHECK(value(squares) * factor * factor ==
            Approx(norm * norm).epsilon(4 * bound).margin(1e-3 * bound));
      device.kernels().clip_factor(0.1, squares, limit);
      clip = std::min(1.0, 0.1 / (norm + 1e-6));
    }
    head.finish();
    dense.update(step, full_rate, double(number), clip);
  }
  check_state(head, c, dense, bound);
  check_replicas(mesh, head);
}

/// Checks the k best classes of every row against a full sort; -inf and -1 past the last class.
inline void check_top_k(comm::Communicator& ranks, core::Device& device, core::Dtype dtype,
                        HeadCase const& c, int k, int shards = 0) {
  INFO(c << ", best " << k << ", " << ranks.size() << " ranks, " << shards << " shards");
  comm::Mesh mesh(ranks, shards);
  auto head = head_on(mesh, {device, dtype}, c.options);
  // Small integers: exact in every dtype, with many ties.
  std::vector<double> w, b;
  for (int64_t i = 0; i < c.options.classes * c.options.features; ++i)
    w.push_back(double(i * i % 7 % 3) - 1);
  for (int64_t i = 0; i < c.options.classes; ++i) b.push_back(double(i % 2));
  auto const write = [&](char const* name, std::vector<double> const& all, int64_t columns) {
    auto t = state_of(head, name);
    auto const mine = part(all, head.begin(), head.begin() + head.count(), columns);
    device.copy(tensor(device, t.shape(), t.dtype(), mine), t);
  };
  write("head.weight", w, c.options.features);
  if (c.options.bias) write("head.bias", b, 1);
  auto batch = head_batch(device, ranks, uneven(ranks.size()), c.options.classes,
                          c.options.features, dtype, 1);
  for (double& x : batch.all_x) x = std::round(x);
  int64_t const begin = comm::begin_of(batch.counts, ranks.rank());
  batch.x = tensor(device, batch.x.shape(), dtype,
                   part(batch.all_x, begin, begin + batch.x.size(0), c.options.features));

  auto const best = head.top_k(batch.x, batch.counts, k);
  DenseHead const dense(c.options.classes, c.options.features, w,
                        c.options.bias ? b : std::vector<double>{});
  CHECK(best.rows == 6);
  CHECK(best.k == k);
  REQUIRE(best.classes.size() == size_t(6 * k));
  for (int64_t row = 0; row < 6; ++row) {
    std::vector<std::pair<double, int64_t>> order;
    for (int64_t label = 0; label < c.options.classes; ++label)
      order.emplace_back(-dense.logit(batch.all_x.data() + row * c.options.features, label), label);
    std::sort(order.begin(), order.end());
    order.resize(size_t(k), {INFINITY, -1});
    bool same = true;
    for (int place = 0; place < k; ++place) {
      auto const [score, label] = order[size_t(place)];
      same = same && best.at(row, place) == label && best.scores[size_t(row * k + place)] == -score;
    }
    CHECK(same);
  }
}

}  // namespace tests
