#include "tests/layers/head/head_cases.h"
#include "tests/support/ranks.h"

using core::Dtype;
using layers::Logits;
using tests::device;
using tests::world;

namespace {

/// The numbers of shards that leave several replicas. The batch is distributed unevenly: with as
/// many replicas as ranks, one of them has no rows.
std::vector<int> shards_with_replicas() {
  std::vector<int> all;
  for (int shards = 1; shards < world().size(); ++shards)
    if (world().size() % shards == 0) all.push_back(shards);
  return all;
}

}  // namespace

TEST_CASE("replicas: every loss and option -> equal to the dense head on the global batch",
          "[ranks][mesh][thorough]") {
  for (int const shards : shards_with_replicas())
    for (auto const& c : tests::all_cases()) {
      if (c.options.classes != 7 || c.sampling_rate < 1) continue;
      tests::check_head(world(), device(), Dtype::f64, c, 1e-11, shards);
    }
}

TEST_CASE("replicas: one class per shard, or shards without classes -> equal to the dense head",
          "[ranks][mesh]") {
  for (int const shards : shards_with_replicas())
    for (int64_t const classes : {1, 2, 50})
      for (auto const logits : {Logits::store, Logits::recompute})
        tests::check_head(world(), device(), Dtype::f64,
                          tests::softmax_case(classes, true, logits, 3), 1e-11, shards);
}

TEST_CASE("replicas: f32 and bf16 -> equal to the dense head within rounding", "[ranks][mesh]") {
  for (int const shards : shards_with_replicas())
    for (auto const& c : tests::rounded_cases()) {
      tests::check_head(world(), device(), Dtype::f32, c, tests::f32_reduction, shards);
      tests::check_head(world(), device(), Dtype::bf16, c, tests::bf16_rounding, shards);
    }
}

TEST_CASE("replicas: top_k -> rows of all replicas, on every rank", "[ranks][mesh]") {
  for (int const shards : shards_with_replicas())
    for (int64_t const classes : {1, 7, 50})
      for (int const k : {1, 5, 60})
        tests::check_top_k(world(), device(), Dtype::f32,
                           tests::softmax_case(classes, true, Logits::automatic, 3, 4), k, shards);
}
