// Gradient norms: sums of squares, clipping, and the trust ratio of LARS.
#include "core/cpu/device.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;

namespace {

double squares_of(Tensor const& x, double before = 0) {
  Tensor sum = scalar(x.device(), before);
  x.device().kernels().add_squared_norm(x, sum);
  return tests::value(sum);
}

double clipped(Device& device, double most, double squares, double before = 1) {
  Tensor factor = scalar(device, before);
  device.kernels().clip_factor(most, scalar(device, squares), factor);
  return tests::value(factor);
}

std::vector<double> trust_of(Tensor const& g, Tensor const& w, double decay,
                             Tensor const& factor = {}) {
  Tensor trust(g.device(), {g.size(0)}, g.dtype());
  g.device().kernels().lars_trust_ratio(0.01, decay, factor, g, w, trust);
  return tests::values(trust);
}

}  // namespace

TEST_CASE("add_squared_norm: tensors of every dtype -> adds the sum of squares", "[squares]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  CHECK(squares_of(tests::tensor(device, {2, 2}, dtype, {1, -2, 3, 0.5}), 100) == 114.25);
  for (int64_t const size : {0, 1, 31, 32, 33, 255, 257, 70001}) {
    Tensor const x = tests::random(device, {size}, dtype, 1);
    double sum = 0;
    for (double const value : tests::values(x)) sum += value * value;
    CHECK(squares_of(x) == Approx(sum).epsilon(1e-12));
  }
}

TEST_CASE("add_squared_norm: squares beyond f32's range -> f64 sum; infinity and NaN -> not finite",
          "[squares]") {
  Device& device = tests::device();
  CHECK(squares_of(tests::tensor<float>(device, {2}, {1e30, 1e30})) == Approx(2e60));
  CHECK(std::isinf(squares_of(tests::tensor<float>(device, {2}, {1, INFINITY}))));
  CHECK(std::isnan(squares_of(tests::tensor<float>(device, {2}, {NAN, 1}))));
}

TEST_CASE("clip_factor: norms by hand -> factor that limits the norm; not finite -> 0",
          "[squares]") {
  Device& device = tests::device();
  CHECK(clipped(device, 5, 100) == Approx(5 / (10 + 1e-6)).epsilon(1e-15));
  CHECK(clipped(device, 5, 24) == 1);
  CHECK(clipped(device, 1e-6, 0) == 1);
  CHECK(clipped(device, INFINITY, 1e300) == 1);
  CHECK(clipped(device, 5, INFINITY) == 0);
  CHECK(clipped(device, INFINITY, INFINITY) == 0);
  CHECK(clipped(device, 5, NAN) == 0);
  // Gradient of norm 10 that is still to be scaled by 0.5.
  CHECK(clipped(device, 4, 100, 0.5) == Approx(0.5 * 4 / (5 + 1e-6)).epsilon(1e-15));
  CHECK(clipped(device, 6, 100, 0.5) == 0.5);
  CHECK(clipped(device, 5, 100, 0) == 0);
}

TEST_CASE("lars_trust_ratio: rows by hand -> coefficient |w| / (|g| + decay |w|)", "[squares]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  Tensor const w = tests::tensor(device, {4, 2}, dtype, {3, 4, 0, 0, 3, 4, 6, 8});
  Tensor const g = tests::tensor(device, {4, 2}, dtype, {0.6, 0.8, 1, 1, 0, 0, 0, -2});
  auto const close = [](std::vector<double> const& got, std::vector<double> const& want) {
    CHECK(tests::distance(got, want) < 1e-7);
  };
  // 0.01 5 / 1; a norm of 0 twice; 0.01 10 / 2
  close(trust_of(g, w, 0), {0.05, 1, 1, 0.05});
  // 0.01 5 / (1 + 0.1 5); 0.01 10 / (2 + 0.1 10)
  close(trust_of(g, w, 0.1), {0.05 / 1.5, 1, 1, 0.1 / 3});
  // The gradient scaled by 0.5.
  close(trust_of(g, w, 0.1, scalar(device, 0.5)), {0.05, 1, 1, 0.05});
  close(trust_of(g, w, 0.1, scalar(device, 0)), {1, 1, 1, 1});
}

TEST_CASE("lars_trust_ratio: rows of any width -> within rounding of plain loops", "[squares]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  auto const weights = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  auto const shape = GENERATE(Shape{0, 5}, Shape{1, 1}, Shape{31, 33}, Shape{257, 3},
                              Shape{1, 70001}, Shape{3, 40000});
  if (accumulator(weights) != dtype) return;
  Tensor const g = tests::random(device, shape, dtype, 1),
               w = tests::random(device, shape, weights, 2);
  auto const gradient = tests::values(g), weight = tests::values(w);
  std::vector<double> want;
  for (int64_t r = 0; r < shape[0]; ++r) {
    double g_squares = 0, w_squares = 0;
    for (auto i = size_t(r * shape[1]); i < size_t((r + 1) * shape[1]); ++i) {
      g_squares += gradient[i] * gradient[i];
      w_squares += weight[i] * weight[i];
    }
    want.push_back(0.01 * std::sqrt(w_squares) /
                   (std::sqrt(g_squares) + 0.1 * std::sqrt(w_squares)));
  }
  CHECK(tests::distance(trust_of(g, w, 0.1), want) < (dtype == Dtype::f64 ? 1e-13 : 1e-6));
}

TEST_CASE("add_squared_norm: one and three CPU threads -> same bits", "[squares][cpu]") {
  cpu::Cpu one(1), three(3);
  auto const run = [](Device& device) {
    return squares_of(tests::random(device, {200003}, Dtype::f32, 1));
  };
  CHECK(run(one) == run(three));
}
