#include "tests/layers/sharded_head_checks.h"
#include "tests/support/ranks.h"

using core::Dtype;
using layers::Logits;
using tests::device;
using tests::world;

TEST_CASE("sharded head: equals the dense one at any number of ranks", "[ranks]") {
  for (int64_t const classes : {1, 2, 3, 7, 50, 1000})
    for (bool const bias : {false, true})
      for (auto const logits : {Logits::automatic, Logits::store, Logits::recompute})
        for (int64_t const chunk : {0, 1, 3, 64})
          tests::check_head(world(), device(), Dtype::f64, {classes, bias, logits, chunk}, 1e-12);
}

TEST_CASE("sharded head: f32 and bf16 stay within rounding at any number of ranks", "[ranks]") {
  for (auto const logits : {Logits::store, Logits::recompute}) {
    tests::HeadCase const head{50, true, logits, 7, 31};
    tests::check_head(world(), device(), Dtype::f32, head, tests::f32_reduction);
    tests::check_head(world(), device(), Dtype::bf16, head, tests::bf16_rounding);
  }
}

TEST_CASE("sharded head: stored and recomputed logits agree on every rank", "[ranks]") {
  std::vector<std::vector<double>> seen;
  for (auto const logits : {Logits::store, Logits::recompute}) {
    layers::ShardedHead head({device(), Dtype::f32}, world(),
                             tests::options_of({300, true, logits, 64, 33}));
    auto& all = seen.emplace_back();
    for (unsigned step = 0; step < 3; ++step) {
      auto const batch = tests::head_batch(device(), world(), tests::uneven(world().size()), 300,
                                           33, Dtype::f32, step);
      auto const [loss, dx] = tests::train_step(head, batch, tests::full_rule(tests::device()));
      for (auto const& t : {loss, dx})
        for (double const value : tests::values(t)) all.push_back(value);
    }
  }
  CHECK(seen[0] == seen[1]);
}

TEST_CASE("sharded head: starts with the same weights at any number of ranks", "[ranks]") {
  for (int64_t const classes : {1, 2, 7, 50}) {
    comm::Self self;
    for (auto const dtype : {Dtype::f32, Dtype::f64}) {
      auto const options = tests::options_of({classes, true, Logits::store, 0});
      layers::ShardedHead mine({device(), dtype}, world(), options);
      layers::ShardedHead whole({device(), dtype}, self, options);
      for (auto const& [name, tensor] : mine.state()) {
        auto const rows =
            tests::state_of(whole, name).rows(mine.begin(), mine.begin() + mine.count());
        CHECK(tests::values(tensor) == tests::values(rows));
      }
    }
  }
}

TEST_CASE("sharded head: the best classes are those of a full sort at any ranks", "[ranks]") {
  for (auto const dtype : {Dtype::f64, Dtype::f32})
    for (int64_t const classes : {1, 2, 7, 50, 1000})
      for (int64_t const chunk : {0, 3})
        for (int const k : {1, 5, 60})
          tests::check_top_k(world(), device(), dtype,
                             {classes, chunk == 3, Logits::automatic, chunk, 4}, k);
}
