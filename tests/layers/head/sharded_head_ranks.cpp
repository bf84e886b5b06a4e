#include "tests/layers/head/head_cases.h"
#include "tests/support/ranks.h"

using core::Dtype;
using layers::Logits;
using tests::device;
using tests::world;

TEST_CASE("sharded head: softmax on several ranks -> equal to the dense head", "[ranks]") {
  for (auto const& c : tests::softmax_cases())
    tests::check_head(world(), device(), Dtype::f64, c, 1e-12);
}

TEST_CASE("sharded head: every loss and option on several ranks -> equal to the dense head",
          "[ranks][thorough]") {
  for (auto const& c : tests::all_cases())
    tests::check_head(world(), device(), Dtype::f64, c, 1e-11);
}

TEST_CASE("sharded head: 4099 classes on several ranks -> equal to the dense head",
          "[ranks][thorough]") {
  for (auto const& c : tests::large_cases())
    tests::check_head(world(), device(), Dtype::f64, c, 1e-11);
}

TEST_CASE("sharded head: f32 and bf16 on several ranks -> equal to the dense head within rounding",
          "[ranks]") {
  for (auto const& c : tests::rounded_cases()) {
    tests::check_head(world(), device(), Dtype::f32, c, tests::f32_reduction);
    tests::check_head(world(), device(), Dtype::bf16, c, tests::bf16_rounding);
  }
}

TEST_CASE("sharded head: any number of ranks -> same initial weights", "[ranks]") {
  for (int64_t const classes : {1, 2, 7, 50}) {
    comm::Self self;
    for (auto const dtype : {Dtype::f32, Dtype::f64}) {
      auto const options = tests::softmax_case(classes, true, Logits::store, 0).options;
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

TEST_CASE("sharded head: top_k on several ranks -> equal to a full sort", "[ranks]") {
  for (auto const dtype : {Dtype::f64, Dtype::f32})
    for (int64_t const classes : {1, 2, 7, 50, 1000})
      for (int64_t const chunk : {0, 3})
        for (int const k : {1, 5, 60})
          tests::check_top_k(world(), device(), dtype,
                             tests::softmax_case(classes, chunk == 3, Logits::automatic, chunk, 4),
                             k);
}
