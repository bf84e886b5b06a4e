#include "core/cpu/device.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;
using tests::values;

namespace {

Tensor moments_of(Tensor const& x) {
  Tensor moments(x.device(), {3, x.size(-1)}, accumulator(x.dtype()));
  x.device().kernels().batch_statistics(x, moments);
  return moments;
}

/// Merges the statistics of row blocks of x; a block may be empty.
Tensor merged(std::vector<Tensor> const& parts) {
  Device& device = parts[0].device();
  int64_t const width = parts[0].size(-1);
  Dtype const wide = accumulator(parts[0].dtype());
  Tensor all(device, {static_cast<int64_t>(parts.size()), 3, width}, wide);
  for (size_t p = 0; p < parts.size(); ++p) {
    Tensor row = all.rows(static_cast<int64_t>(p), static_cast<int64_t>(p) + 1);
    device.copy(moments_of(parts[p]), row);
  }
  Tensor result(device, {3, width}, wide), mean(device, {width}, wide), variance = empty_like(mean);
  device.kernels().fill(0, mean);
  device.kernels().fill(1, variance);
  device.kernels().merge_statistics(all, 0.1, result, mean, variance);
  return result;
}

}  // namespace

TEST_CASE("batch_statistics: three rows by hand -> counts, means and sums of squares", "[norm]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  Tensor const x = tests::tensor(device, {3, 2}, dtype, {1, 10, 2, 10, 6, 40});
  // Means 3 and 20; squares 4 + 1 + 9 and 100 + 100 + 400.
  CHECK(values(moments_of(x)) == std::vector<double>{3, 3, 3, 20, 14, 600});
}

TEST_CASE("batch_statistics: f32 and bf16 inputs -> within rounding of f64", "[norm]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  // Tiles have 64 rows, blocks are whole tiles: 5000 rows make 40 blocks of two tiles, the last
  // block partial.
  auto const shape = GENERATE(Shape{1, 1}, Shape{31, 33}, Shape{64, 3}, Shape{65, 257},
                              Shape{5000, 31}, Shape{2, 5, 7, 3});
  Tensor const x = tests::random(device, shape, dtype, 1);
  CHECK(tests::distance(moments_of(x), moments_of(tests::as(x, Dtype::f64))) <
        tests::f32_elementwise);
}

TEST_CASE("merge_statistics: a channel is not finite -> its running statistics stay unchanged",
          "[norm]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  constexpr double inf = std::numeric_limits<double>::infinity();
  // Counts, means and squares of four channels: finite, with a NaN, with an infinity, overflowed.
  Tensor const part =
      tests::tensor(device, {1, 3, 4}, dtype, {3, 3, 3, 3, 2, NAN, inf, 2, 4, NAN, NAN, inf});
  Tensor merged(device, {3, 4}, dtype);
  Tensor mean = tests::tensor(device, {4}, dtype, {7, 7, 7, 7}), variance = clone(mean);
  device.kernels().merge_statistics(part, 0.5, merged, mean, variance);
  CHECK(values(mean) == std::vector<double>{4.5, 7, 7, 7});
  CHECK(values(variance) == std::vector<double>{4.5, 7, 7, 7});
}

TEST_CASE("batch_statistics: no rows -> all zero", "[norm]") {
  Device& device = tests::device();
  CHECK(values(moments_of(Tensor(device, {0, 2}, Dtype::bf16))) == std::vector<double>(6, 0));
}

TEST_CASE("batch_statistics: mean of 1000 and variance of 1 -> accurate variance", "[norm]") {
  Device& device = tests::device();
  Tensor const noise = tests::random(device, {10000, 5}, Dtype::f64, 1);
  std::vector<double> shifted = values(noise);
  for (double& value : shifted) value += 1000;
  Tensor const x = tests::tensor<float>(device, {10000, 5}, shifted);
  auto const got = values(moments_of(x)), exact = values(moments_of(tests::as(x, Dtype::f64)));
  for (size_t c = 5; c < 10; ++c) CHECK(std::abs(got[c] - exact[c]) < 1e-4);  // one ulp is 6e-5
  for (size_t c = 10; c < 15; ++c) CHECK(std::abs(got[c] / exact[c] - 1) < tests::f32_reduction);
}

TEST_CASE("merge_statistics: parts of any size -> statistics of the whole", "[norm]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  Tensor const x = tests::random(device, {1000, 7}, dtype, 1);
  Tensor const whole = merged({x});
  Tensor const parts =
      merged({x.rows(0, 0), x.rows(0, 1), x.rows(1, 700), x.rows(700, 700), x.rows(700, 1000)});
  CHECK(tests::distance(parts, whole) < tests::f32_elementwise);
  auto const all = values(whole);
  CHECK(all[0] == 1000);
  auto const sums = values(moments_of(x));
  CHECK(all[14] == Approx(sums[14] / 1000));
}

TEST_CASE("batch_statistics: one and three CPU threads -> same bits", "[norm][cpu]") {
  cpu::Cpu one(1), three(3);
  auto const run = [](Device& device) {
    return values(moments_of(tests::random(device, {20001, 7}, Dtype::f32, 1)));
  };
  CHECK(run(one) == run(three));
}
