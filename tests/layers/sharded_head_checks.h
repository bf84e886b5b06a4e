#pragma once
#include "comm/self.h"
#include "tests/layers/heads.h"

/// Checks that hold on any communicator: run on one rank alone and under mpirun.
namespace tests {

struct HeadCase {
  int64_t classes;
  bool bias;
  layers::Logits logits;
  int64_t chunk;
  int64_t features = 5;
};

inline std::ostream& operator<<(std::ostream& out, HeadCase const& c) {
  return out << c.classes << " classes, bias " << c.bias << ", logits " << int(c.logits)
             << ", chunk " << c.chunk;
}

inline layers::ShardedHead::Options options_of(HeadCase const& c) {
  // Weights larger than usual, so that the softmax is far from uniform.
  return {.classes = c.classes,
          .features = c.features,
          .bias = c.bias,
          .chunk = c.chunk,
          .logits = c.logits,
          .deviation = 0.5};
}

/// The whole weight and bias a head starts with.
inline DenseHead dense_start(core::Device& device, core::Dtype dtype, HeadCase const& c) {
  comm::Self self;
  layers::ShardedHead whole({device, dtype}, self, options_of(c));
  auto const bias = state_of(whole, "head.bias");
  return {c.classes, c.features, values(state_of(whole, "head.weight")),
          bias ? values(bias) : std::vector<double>{}};
}

/// Two steps with everything in the rule give the dense head's losses, dX and state.
inline void check_head(comm::Communicator& ranks, core::Device& device, core::Dtype dtype,
                       HeadCase const& c, double bound) {
  INFO(c << ", " << dtype << ", " << ranks.size() << " ranks");
  layers::ShardedHead head({device, dtype}, ranks, options_of(c));
  auto dense = dense_start(device, dtype, c);
  for (unsigned step = 0; step < 2; ++step) {
    auto const batch =
        head_batch(device, ranks, uneven(ranks.size()), c.classes, c.features, dtype, step + 1);
    auto const [loss, dx] = train_step(head, batch, full_rule(batch.x.device()));
    dense.step(batch.all_x, batch.all_labels, full_rule(batch.x.device()));
    CHECK(value(loss) == Approx(dense.loss).epsilon(bound).margin(bound));
    for (double const other : of_all_ranks(ranks, loss)) CHECK(other == value(loss));
    int64_t const begin = comm::begin_of(batch.counts, ranks.rank());
    // One class: every gradient is an exact 0, and the dense one some rounding of it.
    auto const expected = part(dense.dx, begin, begin + batch.x.size(0), c.features);
    if (c.classes > 1) CHECK(distance(values(dx), expected) < bound);
    if (c.classes == 1) CHECK(inner(dx, dx) < bound * bound);
  }
  auto const same = [&](char const* name, std::vector<double> const& whole, int64_t columns) {
    auto const t = state_of(head, name);
    auto const mine = part(whole, head.begin(), head.begin() + head.count(), columns);
    auto const gap = distance(values(t), mine);
    INFO(name << " is off by " << gap);
    CHECK((gap < bound || (c.classes == 1 && inner(t, t) < bound * bound)));
  };
  same("head.weight", dense.w, c.features);
  same("head.weight.velocity", dense.w_velocity, c.features);
  CHECK(bool(state_of(head, "head.bias")) == c.bias);
  if (!c.bias) return;
  same("head.bias", dense.b, 1);
  same("head.bias.velocity", dense.b_velocity, 1);
}

/// The best k of every row by a full sort; -inf and -1 where there are no more.
inline void check_top_k(comm::Communicator& ranks, core::Device& device, core::Dtype dtype,
                        HeadCase const& c, int k) {
  INFO(c << ", best " << k << ", " << ranks.size() << " ranks");
  layers::ShardedHead head({device, dtype}, ranks, options_of(c));
  // Small whole numbers: exact in every dtype, and full of ties.
  std::vector<double> w, b;
  for (int64_t i = 0; i < c.classes * c.features; ++i) w.push_back(double(i * i % 7 % 3) - 1);
  for (int64_t i = 0; i < c.classes; ++i) b.push_back(double(i % 2));
  auto const write = [&](char const* name, std::vector<double> const& all, int64_t columns) {
    auto t = state_of(head, name);
    auto const mine = part(all, head.begin(), head.begin() + head.count(), columns);
    device.copy(tensor(device, t.shape(), t.dtype(), mine), t);
  };
  write("head.weight", w, c.features);
  if (c.bias) write("head.bias", b, 1);
  auto batch = head_batch(device, ranks, uneven(ranks.size()), c.classes, c.features, dtype, 1);
  for (double& x : batch.all_x) x = std::round(x);
  int64_t const begin = comm::begin_of(batch.counts, ranks.rank());
  batch.x = tensor(device, batch.x.shape(), dtype,
                   part(batch.all_x, begin, begin + batch.x.size(0), c.features));

  auto const best = head.top_k(batch.x, batch.counts, k);
  DenseHead const dense(c.classes, c.features, w, c.bias ? b : std::vector<double>{});
  CHECK(best.rows == 6);
  CHECK(best.k == k);
  REQUIRE(best.classes.size() == size_t(6 * k));
  for (int64_t row = 0; row < 6; ++row) {
    std::vector<std::pair<double, int64_t>> order;
    for (int64_t label = 0; label < c.classes; ++label)
      order.emplace_back(-dense.logit(batch.all_x.data() + row * c.features, label), label);
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
