#include "train/trainer/traffic.h"
#include "core/math/softmax.h"
#include "tests/support/device.h"
#include "tests/train/trainer/small_training.h"

using comm::Collective;
using train::StepSizes;
using train::StepTraffic;

namespace {

/// Bytes sent per rank, averaged over the ranks.
double sent(comm::Traffic const& traffic, char const* label, Collective what, int64_t ranks) {
  auto const* const row = traffic.find(label, what);
  REQUIRE(row != nullptr);
  CHECK(row->moved.sent == row->moved.received);
  return static_cast<double>(row->moved.sent) / static_cast<double>(ranks);
}

}  // namespace

TEST_CASE("traffic_by_formula: large head -> volume independent of the classes", "[traffic]") {
  // 1024 rows of 512 features in bf16 on 8 ranks: 1.05 MB of features and 2.10 MB of their
  // gradients, of which a rank keeps 1/8. The number of classes does not matter.
  StepSizes const sizes{.ranks = 8,
                        .batch = 1024,
                        .features = 512,
                        .feature_bytes = 2,
                        .classes = 8'000'000,
                        .gradient_bytes = 44'000'000,
                        .shards = 8};
  auto const traffic = traffic_by_formula(sizes);
  CHECK(sent(traffic, "features", Collective::all_gather, 8) == 1'048'576 * 7 / 8);
  CHECK(sent(traffic, "features' gradient", Collective::reduce_scatter, 8) == 2'097'152 * 7 / 8);
  CHECK(sent(traffic, "labels", Collective::all_gather, 8) == 8192 * 7 / 8);
  CHECK(sent(traffic, "trunk gradients", Collective::all_reduce, 8) == 2 * 44e6 * 7 / 8);
  // A rank's statistics of each row are sent to all 7 others.
  CHECK(sent(traffic, "statistics", Collective::all_gather, 8) ==
        7 * 1024 * 4 * core::math::RowStatistics::count);
  CHECK(traffic.rows().size() == 5);  // no running statistics
}

TEST_CASE("traffic_by_formula: 1,024 ranks -> bytes of a rank follow the rows, not the ranks",
          "[traffic]") {
  StepSizes sizes{.ranks = 1024,
                  .batch = 131'072,
                  .features = 512,
                  .feature_bytes = 2,
                  .classes = 10'000'000,
                  .shards = 1024};
  auto const parts = [&](int64_t rows) {
    auto const traffic = traffic_by_formula(sizes);
    CHECK(sent(traffic, "statistics", Collective::all_to_all, 1024) == rows * 24 * 1023 / 1024);
    CHECK(sent(traffic, "statistics", Collective::all_gather, 1024) == rows * 16 * 1023 / 1024);
    return sent(traffic, "statistics", Collective::all_reduce, 1024);
  };
  CHECK(parts(131'072) == 2.0 * 16 * 1023 / 1024);
  sizes.parts = 4;  // each micro-batch is merged separately
  CHECK(parts(131'072) == 4 * 2.0 * 16 * 1023 / 1024);
  sizes.shards = 256;  // four replicas, each with a quarter of the rows
  sizes.parts = 1;
  auto const traffic = traffic_by_formula(sizes);
  CHECK(sent(traffic, "statistics", Collective::all_to_all, 1024) ==
        131'072.0 / 4 * 24 * 255 / 256);
}

TEST_CASE("traffic_by_formula: row_parallel -> all-reduce of the logits", "[traffic]") {
  StepSizes sizes{.ranks = 8, .batch = 1024, .features = 512, .feature_bytes = 2, .shards = 8};
  sizes.classes = 8'000'000;
  sizes.head = train::HeadKind::row_parallel;
  auto const traffic = traffic_by_formula(sizes);
  // 57 GB per step: the reason to split by class instead.
  CHECK(sent(traffic, "split linear", Collective::all_reduce, 8) == Approx(57.3e9).epsilon(1e-3));
  CHECK(sent(traffic, "split linear", Collective::all_gather, 8) == 1'048'576 * 7 / 8);
  CHECK(traffic.find("statistics", Collective::all_gather) == nullptr);
}

TEST_CASE("traffic_by_formula: synchronized batch norm -> five numbers per channel and rank",
          "[traffic]") {
  StepSizes sizes{.ranks = 4, .batch = 8, .features = 2, .shards = 4};
  sizes.statistics_bytes = 2 * 4 * 10;  // 10 channels
  CHECK(traffic_by_formula(sizes).find("batch norm", Collective::all_gather) == nullptr);
  sizes.batch_norm = train::BatchNormKind::sync;
  auto const traffic = traffic_by_formula(sizes);
  CHECK(sent(traffic, "batch norm", Collective::all_gather, 4) == 3 * 5 * 4 * 10);
  CHECK(sent(traffic, "running statistics", Collective::all_reduce, 4) == 2 * 80 * 3 / 4);
}

TEST_CASE("traffic_by_formula: one rank -> no bytes", "[traffic]") {
  auto const traffic =
      train::traffic_by_formula({.ranks = 1, .batch = 8, .features = 2, .classes = 3});
  CHECK(!traffic.rows().empty());
  for (auto const& row : traffic.rows()) CHECK(row.moved == comm::Moved{});
}

TEST_CASE("StepTraffic: calls within and between steps -> only the former are in the table",
          "[traffic]") {
  comm::Self self;
  StepTraffic traffic(self);
  core::Tensor t = tests::tensor<float>(tests::device(), {3}, {1, 2, 3});
  auto const sum = [&](char const* label) {
    traffic.ranks().named(label).all_reduce(t, comm::Reduce::sum)->wait();
  };
  CHECK(traffic.table(tests::device()).empty());
  sum("before");
  StepSizes const sizes{.batch = 2, .features = 3, .gradient_bytes = 12};
  for (int step = 0; step < 2; ++step) {
    traffic.begin_step();
    sum("trunk gradients");
    if (step == 0) sum("unheard-of");
    if (step == 0) sum("");
    traffic.end_step(sizes);
    sum("between");
  }
  auto const rows = traffic.rows(tests::device());
  REQUIRE(rows.size() == 3);
  CHECK(rows[0].label == "trunk gradients");
  CHECK(rows[0].calls == 2);
  CHECK(rows[0].by_formula == 0);
  CHECK(rows[1].label == "unheard-of");
  CHECK(rows[1].by_formula == -1);
  CHECK(traffic.table(tests::device()) ==
        "sent by a rank      collective      calls/step      bytes/step      by formula\n"
        "trunk gradients     all_reduce             1.0             0.0             0.0\n"
        "unheard-of          all_reduce             0.5             0.0               -\n"
        "(no name)           all_reduce             0.5             0.0               -\n"
        "sum                                                        0.0             0.0\n");
  traffic.clear();
  CHECK(traffic.table(tests::device()).empty());
  CHECK(traffic.rows(tests::device()).empty());
}
