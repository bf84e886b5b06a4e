#include "comm/self.h"
#include "tests/layers/head/heads.h"
#include "tests/support/ranks.h"

using core::Dtype;
using core::Rule;
using layers::ClassShard;
using layers::Moments;
using layers::Storage;
using tests::device;
using tests::world;

namespace {

struct Optimized {
  char const* name;
  core::UpdateRule rule;
  Moments moments;
};

std::vector<Optimized> optimizers() {
  return {{"SGD", {}, Moments::none},
          {"SGD with momentum", {.momentum = 0.9}, Moments::velocity},
          {"AdamW", {.kind = Rule::adamw, .momentum = 0.9, .decay = 0.01}, Moments::both}};
}

ClassShard rows_of(comm::Communicator& ranks, Optimized const& o, Storage storage, int64_t classes,
                   int64_t features, bool bias = false) {
  return {{device(), Dtype::f32},
          ranks,
          {.classes = classes,
           .features = features,
           .bias = bias,
           .moments = o.moments,
           .storage = storage}};
}

/// Performs steps with the same gradient of all classes (C, D); each rank uses its rows.
void take_steps(ClassShard& rows, Optimized const& o, core::Tensor const& gradient, double rate,
                int count) {
  auto const end = rows.begin() + rows.count();
  for (int t = 1; t <= count; ++t) {
    auto const rule = tests::at_step(device(), o.rule, rate, t);
    rows.update({rule, rule}, core::scalar(device(), 1),
                {0, rows.count(), rows.begin(), rows.count(), {}, {}},
                {clone(gradient.rows(rows.begin(), end)), {}});
  }
}

double mean(core::Tensor const& t) {
  double sum = 0;
  for (double const value : tests::values(t)) sum += value;
  return sum / double(t.count());
}

}  // namespace

TEST_CASE("class shard: bytes_a_class -> bytes of the state per class", "[ranks]") {
  size_t const d = 24;
  for (auto const& o : optimizers()) {
    INFO(o.name);
    size_t const moments = o.moments == Moments::both ? 2 : o.moments == Moments::velocity ? 1 : 0;
    auto const bytes = [&](Storage storage) {
      return rows_of(world(), o, storage, 50, int64_t(d), true).bytes_a_class();
    };
    size_t const bias = 4 * (1 + moments);  // bias is always f32
    CHECK(bytes(Storage::f32) == d * (4 + 4 * moments) + bias);
    CHECK(bytes(Storage::bf16_moments) == d * (4 + 2 * moments) + bias);
    CHECK(bytes(Storage::bf16) == d * (2 + 2 * moments) + bias);
  }
}

TEST_CASE("class shard: stochastic rounding -> same bits for any number of ranks", "[ranks]") {
  comm::Self self;
  int64_t const classes = 50, features = 24;
  auto const gradient = tests::random(device(), {classes, features}, Dtype::f32, 1);
  for (auto const& o : optimizers())
    for (auto const storage : {Storage::bf16_moments, Storage::bf16}) {
      INFO(o.name << ", storage " << int(storage));
      auto mine = rows_of(world(), o, storage, classes, features);
      auto whole = rows_of(self, o, storage, classes, features);
      take_steps(mine, o, gradient, 1e-4, 5);
      take_steps(whole, o, gradient, 1e-4, 5);
      auto const parts = mine.state(), all = whole.state();
      REQUIRE(parts.size() == all.size());
      for (size_t i = 0; i < all.size(); ++i)
        CHECK(tests::bytes(parts[i].tensor) ==
              tests::bytes(clone(all[i].tensor.rows(mine.begin(), mine.begin() + mine.count()))));
    }
}

TEST_CASE("class shard: steps below bf16 resolution -> bf16 weights follow f32 weights",
          "[ranks]") {
  comm::Self self;
  int64_t const classes = 100, features = 40;
  core::Tensor gradient(device(), {classes, features}, Dtype::f32);
  device().kernels().fill(1, gradient);
  for (auto const& o : optimizers()) {
    // Weights are about 0.01, where the spacing of bf16 is 6e-5.
    double const rate = o.moments == Moments::velocity ? 1e-6 : 1e-5;
    auto const moved = [&](Storage storage) {
      auto rows = rows_of(self, o, storage, classes, features);
      double const before = mean(rows.state()[0].tensor);
      take_steps(rows, o, gradient, rate, 300);
      return mean(rows.state()[0].tensor) - before;
    };
    double const exact = moved(Storage::f32);
    INFO(o.name << " moves f32 weights by " << exact);
    CHECK(exact < -2e-3);
    CHECK(moved(Storage::bf16_moments) == Approx(exact).epsilon(0.01));
    CHECK(moved(Storage::bf16) == Approx(exact).epsilon(0.02));
  }
}
