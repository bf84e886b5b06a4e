#include "train/plan/step_time.h"
#include <catch2/catch.hpp>
#include "tests/train/plan/plan_cases.h"
#include "train/plan/gpu_model.h"

using train::predicted_time;

namespace {

/// FLOP/s and bytes/s of an H200.
constexpr double flops = 790e12, memory = 4.3e12;

/// Time in microseconds of a product on `bytes` bytes outside of the cache.
double product(int64_t rows, int64_t columns, int64_t depth, double bytes = 0) {
  auto const operations = 2.0 * double(rows) * double(columns) * double(depth);
  return 1e6 * train::gpu_kernel_time({operations, bytes, rows, columns, depth}, flops, memory);
}

/// Plan of a rank of a GPU run whose head has `classes` classes and 512 features.
train::StepPlan planned_head(int64_t classes) {
  auto const experiment = tests::small_experiment(
      {"data.classes=" + std::to_string(classes), "data.samples=1024", "precision=bf16",
       "data.global_batch_size=1024", "model.features=512", "head.chunk=auto", "head.bias=false"});
  return train::plan_step(experiment, {.ranks = 1,
                                       .classes = classes,
                                       .image = {16, 16, 1},
                                       .device = {.name = "a GPU",
                                                  .cache_bytes = int64_t{30} << 20,
                                                  .fast_bf16 = true,
                                                  .capacity = 141'000'000'000}});
}

}  // namespace

TEST_CASE("predicted_time: kernel on a CPU -> the slower of arithmetic and memory", "[plan]") {
  train::StepPlan plan;
  plan.stretches = {{"a", {{{100, 10}, 2}}, {}, {}}, {"b", {{{0, 50}, 1}}, {}, {}}};
  CHECK(predicted_time(plan, {}).compute == 0);
  CHECK(predicted_time(plan, {.flops = 10}).compute == 20);
  CHECK(predicted_time(plan, {.flops = 10, .memory = 10}).compute == 25);
  CHECK(predicted_time(plan, {.flops = 10, .memory = 10}).phases.at("b") == 5);
  CHECK(predicted_time(plan, {.flops = 1000, .memory = 10}).compute == 7);
  CHECK(predicted_time(plan, {.flops = 1000, .memory = 10}).step == 7);
}

TEST_CASE("predicted_time: transfers -> beside kernels until these wait", "[plan]") {
  train::StepPlan plan;
  plan.transfers = {{"x", 40}, {"buckets", 30}, {"buckets", 50}};
  core::dry::WorkCounts const second{{{10}, 1}};
  plan.stretches = {{"a", second, 0, {}},   // 0 to 1; x is sent until 5
                    {"a", second, {}, 0},   // until 2; waits until 5
                    {"b", second, 1, {}},   // until 6; buckets from 6 to 9
                    {"b", second, 2, {}},   // until 7; and from 9 to 14
                    {"b", second, {}, 1},   // until 8; waits until 9
                    {"c", second, {}, 2}};  // until 10; waits until 14
  auto const time = predicted_time(plan, {.flops = 10, .network = 10});
  CHECK(time.compute == 6);
  CHECK(time.step == 14);
  CHECK(time.phases == std::map<std::string, double>{{"a", 2}, {"b", 3}, {"c", 1}});
  REQUIRE(time.network.size() == 2);
  CHECK(time.network[0].label == "x");
  CHECK(time.network[0].seconds == 4);
  CHECK(time.network[0].waited == 3);
  CHECK(time.network[1].label == "buckets");
  CHECK(time.network[1].seconds == 8);
  CHECK(time.network[1].waited == 5);
  CHECK(predicted_time(plan, {.flops = 10}).step == 6);
}

TEST_CASE("gpu_kernel_time: kernels that move data -> a fixed cost and a share of the bandwidth",
          "[plan]") {
  CHECK(train::gpu_kernel_time({}, flops, memory) == Approx(3.5e-6));
  CHECK(train::gpu_kernel_time({0, 4.3e9}, flops, memory) == Approx(3.5e-6 + 1e-3 / 0.88));
  CHECK(train::gpu_kernel_time({7.9e12, 0}, flops, memory) == Approx(3.5e-6 + 10e-3 / 0.7));
  CHECK(train::gpu_kernel_time({7.9e12, 4.3e9}, 0, 0) == Approx(3.5e-6));
}

TEST_CASE("gpu_kernel_time: products -> bench/gpu_kernels.py", "[plan]") {
  // python3 -c 'from gpu_kernels import *; print(product(CENTRAL, ROWS, COLUMNS, DEPTH))' in bench
  CHECK(product(1024, 32768, 512) == Approx(67.51).epsilon(1e-3));
  CHECK(product(1024, 512, 32768) == Approx(60.87).epsilon(1e-3));
  CHECK(product(32768, 512, 1024) == Approx(59.83).epsilon(1e-3));
  CHECK(product(100, 100, 100) == Approx(4.48).epsilon(1e-3));
  CHECK(product(100, 100, 100, 4.3e9) == Approx(2 + 1000 / 0.88).epsilon(1e-3));
}

TEST_CASE("predicted_time: head of a million classes on a GPU -> the ladder within a quarter",
          "[plan]") {
  auto const time = predicted_time(planned_head(1'000'000), {flops, memory});
  double const head = time.phases.at("head forward") + time.phases.at("head backward");
  CHECK(1e3 * head == Approx(10.1).epsilon(0.25));  // bench/gpu_model.py, step 5
}
