// Batch normalization: statistics, their merging, and both passes.
#include "tests/kernels/twins.h"

using core::Activation;
using core::Dtype;
using core::Kernels;
using core::Normalization;
using core::Shape;
using core::Store;
using core::Tensor;
using tests::host_cuda::all_orders;
using tests::host_cuda::Settings;
using tests::host_cuda::Under;
using namespace tests::kernels;

namespace {

constexpr double epsilon = 1e-5;

Twins moments_of(Pair& pair, Twins const& x) {
  Twins moments = pair.results({3, x.gpu.size(-1)}, core::accumulator(x.gpu.dtype()));
  pair.run([&](Kernels& kernels, auto side) { kernels.batch_statistics(x.*side, moments.*side); });
  return moments;
}

/// A normalization of the shape's channels, and how a residual and stored signs take part.
struct Case {
  char const* name;
  Activation activation;
  bool residual = false;

  bool has_signs() const { return residual && activation == Activation::relu; }
};
constexpr Case cases[] = {{"no activation", Activation::none},
                          {"residual", Activation::none, true},
                          {"ReLU", Activation::relu},
                          {"PReLU", Activation::prelu},
                          {"residual and ReLU", Activation::relu, true}};

struct NormTwins {
  Normalization gpu, cpu;
};
NormTwins norm_of(Pair& pair, Shape const& shape, Dtype dtype, Activation activation) {
  Shape const channels{shape.back()};
  Dtype const wide = core::accumulator(dtype);
  Twins const mean = pair.random(channels, wide, 2), gain = pair.random(channels, wide, 3, 1, 0.2),
              bias = pair.random(channels, wide, 4),
              variance = pair.random(channels, wide, 5, 2, 0.1),
              slope = activation == Activation::prelu ? pair.random(channels, wide, 6, 0.25, 0.1)
                                                      : Twins{};
  return {{mean.gpu, variance.gpu, epsilon, gain.gpu, bias.gpu, activation, slope.gpu},
          {mean.cpu, variance.cpu, epsilon, gain.cpu, bias.cpu, activation, slope.cpu}};
}
Normalization const& on(NormTwins const& norm, Tensor Twins::*side) {
  return side == &Twins::gpu ? norm.gpu : norm.cpu;
}

/// Tensors of u8, uninitialized.
Twins signs_of(Pair& pair, Case const& with, Shape const& shape) {
  return with.has_signs() ? pair.bytes(core::signs_shape(shape)) : Twins{};
}

/// Runs forward; returns the signs, the same on both sides.
Twins normalise_agrees(Pair& pair, Twins const& x, Case const& with) {
  Shape const shape = x.gpu.shape();
  Dtype const dtype = x.gpu.dtype();
  NormTwins const norm = norm_of(pair, shape, dtype, with.activation);
  Twins const residual = with.residual ? pair.random(shape, dtype, 7) : Twins{};
  Twins y = pair.results(shape, dtype), signs = signs_of(pair, with, shape);
  pair.run([&](Kernels& kernels, auto side) {
    kernels.batch_norm(on(norm, side), x.*side, residual.*side, y.*side, signs.*side);
  });
  agree(y);
  if (with.has_signs()) CHECK(tests::bytes(signs.gpu) == tests::bytes(signs.cpu));
  return signs;
}

void backward_agrees(Pair& pair, Twins const& x, Case const& with, Twins const& signs) {
  Shape const shape = x.gpu.shape();
  int64_t const width = shape.back();
  Dtype const dtype = x.gpu.dtype(), wide = core::accumulator(dtype);
  NormTwins const norm = norm_of(pair, shape, dtype, with.activation);
  Twins const dy = pair.random(shape, dtype, 8), count = pair.random({width}, wide, 9, 9, 0.1);
  Twins sums = pair.results({with.activation == Activation::prelu ? 3 : 2, width}, wide);
  pair.run([&](Kernels& kernels, auto side) {
    kernels.batch_norm_backward_sums(on(norm, side), x.*side, signs.*side, dy.*side, sums.*side);
  });
  agree(sums);
  Twins const given = pair.random({2, width}, wide, 10);
  for (Store const store : {Store::replace, Store::add}) {
    CAPTURE(static_cast<int>(store));
    Twins dx = store == Store::add ? pair.random(shape, dtype, 11) : pair.results(shape, dtype),
          dresidual = with.has_signs() ? pair.results(shape, dtype) : Twins{};
    pair.run([&](Kernels& kernels, auto side) {
      kernels.batch_norm_backward(on(norm, side), x.*side, signs.*side, dy.*side, count.*side,
                                  given.*side, store, dx.*side, dresidual.*side);
    });
    agree(dx);
    if (with.has_signs()) agree(dresidual);
  }
}

void all_agree(Pair& pair, Shape const& shape, Dtype dtype) {
  Twins const x = pair.random(shape, dtype, 1);
  agree(moments_of(pair, x));
  for (Case const& with : cases) {
    CAPTURE(with.name);
    Twins const signs = normalise_agrees(pair, x, with);
    backward_agrees(pair, x, with, signs);
  }
}

}  // namespace

TEST_CASE("CUDA batch_norm: all passes -> within rounding of the CPU in f64") {
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  CAPTURE(dtype);
  for_shapes([&](Shape const& shape) {
    Pair pair;
    all_agree(pair, shape, dtype);
  });
}

TEST_CASE(
    "CUDA batch_norm: addresses too unaligned for packs -> within rounding of the CPU in f64") {
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  Pair pair(Placed::unaligned);
  all_agree(pair, {33, 64}, dtype);
  all_agree(pair, {33, 520}, dtype);
}

TEST_CASE("CUDA batch_statistics: large mean and small variance -> accurate variance") {
  Pair pair;
  Twins const x = pair.random({4097, 4}, Dtype::f32, 1, 1e4, 0.1);
  Twins const moments = moments_of(pair, x);
  auto const got = tests::values(moments.gpu), want = tests::values(moments.cpu);
  for (size_t c = 0; c < 4; ++c) {
    CHECK(got[c] == 4097);
    CHECK(got[4 + c] == Approx(want[4 + c]).epsilon(1e-7));
    CHECK(got[8 + c] == Approx(want[8 + c]).epsilon(tests::f32_reduction));
  }
}

TEST_CASE("CUDA batch_statistics: first row is an outlier -> within rounding of the CPU in f64") {
  Pair pair;
  std::vector<double> numbers(300 * 4);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = i < 4 ? 1e3 : double(i % 17);
  agree(moments_of(pair, pair.twins({300, 4}, Dtype::f32, numbers)));
}

TEST_CASE("CUDA batch_statistics: one element, a constant, no rows -> exact results") {
  Pair pair;
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  CHECK(tests::values(moments_of(pair, pair.twins({1, 1}, dtype, {3})).gpu) ==
        std::vector<double>{1, 3, 0});
  std::vector<double> const constant(100 * 2, 0.1);
  auto const x = pair.twins({100, 2}, dtype, constant);
  auto const value = tests::values(x.gpu)[0];
  CHECK(tests::values(moments_of(pair, x).gpu) ==
        std::vector<double>{100, 100, value, value, 0, 0});
  CHECK(tests::values(moments_of(pair, pair.results({0, 2}, dtype)).gpu) ==
        std::vector<double>(6, 0));
}

TEST_CASE("CUDA batch_statistics: NaN in one channel -> NaN statistics in that channel alone") {
  Pair pair;
  int64_t const row = GENERATE(0, 40);
  std::vector<double> numbers(65 * 8, 1.5);
  numbers[static_cast<size_t>(row) * 8 + 3] = NAN;
  Twins const moments = moments_of(pair, pair.twins({65, 8}, Dtype::bf16, numbers));
  agree(moments);
  auto const got = tests::values(moments.gpu);
  CHECK(got[3] == 65);
  CHECK(std::isnan(got[8 + 3]));
  CHECK(std::isnan(got[16 + 3]));
}

TEST_CASE("CUDA merge_statistics: one part and three -> within rounding of the CPU in f64") {
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  auto const width = GENERATE(0, 1, 31, 257);
  auto const parts = GENERATE(1, 3);
  for (Settings const& settings : all_orders()) {
    CAPTURE(dtype, width, parts);
    Under const under(settings);
    Pair pair;
    Twins const in = pair.random({parts, 3, width}, dtype, 1, 9, 1);
    Twins merged = pair.results({3, width}, dtype), mean = pair.random({width}, dtype, 2),
          variance = pair.random({width}, dtype, 3, 2, 0.1);
    pair.run([&](Kernels& kernels, auto side) {
      kernels.merge_statistics(in.*side, 0.1, merged.*side, mean.*side, variance.*side);
    });
    for (Twins const& result : {merged, mean, variance}) agree(result);
  }
}

TEST_CASE("CUDA merge_statistics: no rows counted -> running statistics unchanged") {
  Pair pair;
  Twins const in = pair.twins({2, 3, 1}, Dtype::f32, std::vector<double>(6, 0));
  Twins merged = pair.results({3, 1}, Dtype::f32), mean = pair.twins({1}, Dtype::f32, {5}),
        variance = pair.twins({1}, Dtype::f32, {7});
  pair.run([&](Kernels& kernels, auto side) {
    kernels.merge_statistics(in.*side, 0.1, merged.*side, mean.*side, variance.*side);
  });
  CHECK(tests::values(merged.gpu) == std::vector<double>{0, 0, 0});
  CHECK(tests::values(mean.gpu)[0] == 5);
  CHECK(tests::values(variance.gpu)[0] == 7);
}

TEST_CASE("CUDA batch_statistics: any barrier removed -> wrong result in some order") {
  CHECK(tests::host_cuda::unnoticed_barriers([](unsigned run) {
          Pair pair;
          Twins const x = pair.random({300, 8}, Dtype::bf16, run);
          return gap(moments_of(pair, x)) < bound(Dtype::f32);
        }).empty());
}
