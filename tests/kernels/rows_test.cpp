// Row kernels over channels: biases and sums.
#include "tests/kernels/twins.h"

using core::Dtype;
using core::Kernels;
using core::Shape;
using core::Tensor;
using namespace tests::kernels;

namespace {

/// Shape (rows, channels), as add_bias requires.
Shape flat(Shape const& shape) {
  int64_t const width = shape.back();
  return {width == 0 ? shape[0] : core::count(shape) / width, width};
}

/// Runs all kernels of this file.
void rows_agree(Pair& pair, Shape const& shape, Dtype dtype) {
  Dtype const wide = core::accumulator(dtype);
  Shape const channels{shape.back()};
  Twins const x = pair.random(shape, dtype, 1), bias = pair.random(channels, wide, 3);
  Twins biased = pair.random(flat(shape), dtype, 4), sum = pair.results(channels, wide);
  pair.run([&](Kernels& kernels, auto side) {
    kernels.add_bias(bias.*side, biased.*side);
    kernels.sum_rows(x.*side, sum.*side);
  });
  for (Twins const& result : {biased, sum}) agree(result);
}

}  // namespace

TEST_CASE("CUDA row kernels: biases and sums in every dtype -> within rounding of the CPU in f64") {
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  CAPTURE(dtype);
  for_shapes([&](Shape const& shape) {
    Pair pair;
    rows_agree(pair, shape, dtype);
  });
}

TEST_CASE(
    "CUDA row kernels: addresses too unaligned for packs -> within rounding of the CPU in f64") {
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  Pair pair(Placed::unaligned);
  rows_agree(pair, {33, 64}, dtype);
}

TEST_CASE("CUDA sum_rows: aligned and unaligned addresses -> same bits") {
  auto const sum = [](Placed placed) {
    Pair pair(placed);
    Twins const x = pair.random({4097, 16}, Dtype::f32, 1);
    Twins sums = pair.results({16}, Dtype::f32);
    x.gpu.device().kernels().sum_rows(x.gpu, sums.gpu);
    return tests::values(sums.gpu);
  };
  CHECK(sum(Placed::aligned) == sum(Placed::unaligned));
}

TEST_CASE("CUDA row kernels: images of (N, H, W, C) -> within rounding of the CPU in f64") {
  Pair pair;
  rows_agree(pair, {3, 5, 7, 16}, Dtype::bf16);
}

TEST_CASE("CUDA sum_rows: NaN in one channel -> NaN sum in that channel") {
  Pair pair;
  Shape const shape{65, 8};
  std::vector<double> numbers(65 * 8, 1.5);
  numbers[40 * 8 + 3] = NAN;
  Twins const x = pair.twins(shape, Dtype::bf16, numbers);
  Twins sum = pair.results({8}, Dtype::f32);
  pair.run([&](Kernels& kernels, auto side) { kernels.sum_rows(x.*side, sum.*side); });
  agree(sum);
  CHECK(std::isnan(tests::values(sum.gpu)[3]));
}

TEST_CASE("CUDA sum_rows: ten million rows -> sum accurate in f32") {
  int64_t const rows = 10'000'000;
  Pair pair;
  Twins x = pair.results({rows, 1}, Dtype::f32), sum = pair.results({1}, Dtype::f32);
  double exact = 0;
  for (int64_t r = 0; r < rows; ++r) {
    float const value = 0.1f + static_cast<float>(r % 1000);
    x.gpu.data<float>()[r] = value;
    exact += value;
  }
  x.gpu.device().kernels().sum_rows(x.gpu, sum.gpu);
  CHECK(tests::values(sum.gpu)[0] == Approx(exact).epsilon(tests::f32_reduction));
}

TEST_CASE("CUDA sum_rows: any barrier removed -> wrong result in some order") {
  CHECK(tests::host_cuda::unnoticed_barriers([](unsigned run) {
          Pair pair;
          Twins const x = pair.random({300, 32}, Dtype::f32, run);
          Twins sum = pair.results({32}, Dtype::f32);
          pair.run([&](Kernels& kernels, auto side) { kernels.sum_rows(x.*side, sum.*side); });
          return gap(sum) < bound(Dtype::f32);
        }).empty());
}
