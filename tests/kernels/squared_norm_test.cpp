// Gradient norms on CUDA: sums of squares, clipping, and the trust ratio of LARS.
#include "tests/kernels/twins.h"

using core::Dtype;
using core::Kernels;
using core::Shape;
using core::Tensor;
using namespace tests::kernels;

namespace {

Twins one(Pair& pair, double value) { return pair.twins({1}, Dtype::f64, {value}); }

void squares_agree(Pair& pair, Shape const& shape, Dtype dtype) {
  Twins const x = pair.random(shape, dtype, 1);
  Twins sum = one(pair, 2.5);
  pair.run([&](Kernels& kernels, auto side) { kernels.add_squared_norm(x.*side, sum.*side); });
  CHECK(gap(sum) < 1e-12);
}

void trust_agrees(Pair& pair, Shape const& shape, Dtype weights, bool has_factor) {
  Dtype const wide = core::accumulator(weights);
  Twins const g = pair.random(shape, wide, 1), w = pair.random(shape, weights, 2),
              factor = has_factor ? one(pair, 0.25) : Twins{};
  Twins trust = pair.results({shape[0]}, wide);
  pair.run([&](Kernels& kernels, auto side) {
    kernels.lars_trust_ratio(0.5, 0.1, factor.*side, g.*side, w.*side, trust.*side);
  });
  agree(trust);
}

}  // namespace

TEST_CASE(
    "CUDA add_squared_norm and lars_trust_ratio: every shape -> within rounding of the CPU in f64",
    "[kernels][squares]") {
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  CAPTURE(dtype);
  for_shapes([&](Shape const& shape) {
    for (auto const placed : {Placed::aligned, Placed::unaligned}) {
      Pair pair(placed);
      squares_agree(pair, shape, dtype);
      trust_agrees(pair, shape, dtype, placed == Placed::aligned);
    }
  });
}

TEST_CASE(
    "CUDA add_squared_norm and lars_trust_ratio: rows of several tiles -> within rounding of the "
    "CPU",
    "[kernels][squares]") {
  Pair pair;
  auto const shape = GENERATE(Shape{1, 4096 * 40 + 3}, Shape{3, 8192});
  squares_agree(pair, shape, Dtype::f32);
  trust_agrees(pair, shape, Dtype::bf16, true);
}

TEST_CASE("CUDA lars_trust_ratio: norms of 0 -> ratio 1", "[kernels][squares]") {
  Pair pair;
  Twins const w = pair.twins({3, 2}, Dtype::f32, {3, 4, 0, 0, 3, 4}),
              g = pair.twins({3, 2}, Dtype::f32, {6, 8, 1, 1, 0, 0});
  Twins trust = pair.results({3}, Dtype::f32);
  pair.run([&](Kernels& kernels, auto side) {
    kernels.lars_trust_ratio(0.5, 0, {}, g.*side, w.*side, trust.*side);
  });
  CHECK(tests::values(trust.gpu) == std::vector<double>{0.25, 1, 1});
}

TEST_CASE("CUDA clip_factor: every norm -> same as the CPU", "[kernels][squares]") {
  Pair pair;
  for (double const squares : {0.0, 24.0, 100.0, 1e300, double(INFINITY), double(NAN)})
    for (double const most : {5.0, double(INFINITY)}) {
      Twins const sum = one(pair, squares);
      Twins factor = one(pair, 0.5);
      pair.run(
          [&](Kernels& kernels, auto side) { kernels.clip_factor(most, sum.*side, factor.*side); });
      CHECK(tests::values(factor.gpu) == tests::values(factor.cpu));
    }
}

TEST_CASE("CUDA add_squared_norm: aligned and unaligned addresses -> same bits",
          "[kernels][squares]") {
  auto const squares = [](Placed placed) {
    Pair pair(placed);
    Twins const x = pair.random({4096 * 3}, Dtype::f32, 1);
    Twins sum = one(pair, 0);
    x.gpu.device().kernels().add_squared_norm(x.gpu, sum.gpu);
    return tests::values(sum.gpu);
  };
  CHECK(squares(Placed::aligned) == squares(Placed::unaligned));
}

TEST_CASE("CUDA add_squared_norm: any barrier removed -> wrong result in some order",
          "[kernels][squares]") {
  CHECK(tests::host_cuda::unnoticed_barriers([](unsigned run) {
          Pair pair;
          Twins const x = pair.random({4096}, Dtype::f32, run);
          Twins sum = one(pair, 0);
          pair.run(
              [&](Kernels& kernels, auto side) { kernels.add_squared_norm(x.*side, sum.*side); });
          return gap(sum) < 1e-12;
        }).empty());
}
