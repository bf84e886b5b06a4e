#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;

namespace {

struct State {
  Tensor w, velocity, copy;
};

/// Two steps from w = 1 and v = 0 with the gradients 0.5 and -0.25.
State two_steps(Device& device, SgdStep const& step, Dtype dtype) {
  State s{tests::tensor(device, {1}, dtype, {1}), tests::tensor(device, {1}, dtype, {0}), {}};
  for (double const g : {0.5, -0.25})
    device.kernels().sgd(step, tests::tensor(device, {1}, dtype, {g}), s.w, s.velocity, s.copy);
  return s;
}

}  // namespace

TEST_CASE("sgd: two steps by hand", "[sgd]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  Tensor const rate = scalar(device, 0.1);
  auto const after = [&](SgdStep const& step) {
    return tests::value(two_steps(device, step, dtype).w);
  };
  // plain: 1 - 0.1 0.5 = 0.95; 0.95 + 0.025
  CHECK(after({.rate = rate}) == Approx(0.975));
  // decay: g = 0.5 + 0.1 = 0.6, w = 0.94; g = -0.25 + 0.094 = -0.156, w = 0.9556
  CHECK(after({.rate = rate, .decay = 0.1}) == Approx(0.9556));
  // momentum: v = 0.5, w = 0.95; v = 0.45 - 0.25 = 0.2, w = 0.93
  CHECK(after({.rate = rate, .momentum = 0.9}) == Approx(0.93));
  // Nesterov: v = 0.5, d = 0.95, w = 0.905; v = 0.2, d = -0.25 + 0.18 = -0.07, w = 0.912
  CHECK(after({.rate = rate, .momentum = 0.9, .nesterov = true}) == Approx(0.912));
  // all: g = 0.6, v = 0.6, d = 1.14, w = 0.886; g = -0.1614, v = 0.3786, d = 0.17934, w = 0.868066
  CHECK(after({.rate = rate, .momentum = 0.9, .decay = 0.1, .nesterov = true}) == Approx(0.868066));
}

TEST_CASE("sgd: f32 follows f64, and the copy is the weights rounded", "[sgd]") {
  Device& device = tests::device();
  auto const size = GENERATE(0, 1, 31, 33, 257, 70000);
  SgdStep const step{.rate = scalar(device, 0.1),
                     .momentum = 0.9,
                     .decay = 5e-4,
                     .nesterov = GENERATE(true, false)};
  Tensor w = tests::random(device, {size}, Dtype::f32, 1), exact = tests::as(w, Dtype::f64);
  Tensor v = tests::random(device, {size}, Dtype::f32, 2), exact_v = tests::as(v, Dtype::f64);
  Tensor const g = tests::random(device, {size}, Dtype::f32, 3);
  Tensor copy(device, {size}, Dtype::bf16), none;
  device.kernels().sgd(step, g, w, v, copy);
  device.kernels().sgd(step, tests::as(g, Dtype::f64), exact, exact_v, none);
  CHECK(tests::distance(w, exact) < tests::f32_elementwise);
  CHECK(tests::distance(v, exact_v) < tests::f32_elementwise);
  CHECK(tests::values(copy) == tests::values(tests::as(w, Dtype::bf16)));
}

TEST_CASE("sgd: without momentum there need be no velocity", "[sgd]") {
  Device& device = tests::device();
  Tensor w = tests::tensor<float>(device, {2}, {1, 2}), none, copy(device, {2}, Dtype::bf16);
  device.kernels().sgd({.rate = scalar(device, 0.5)}, tests::tensor<float>(device, {2}, {1, -1}), w,
                       none, copy);
  CHECK(tests::values(w) == std::vector<double>{0.5, 2.5});
  CHECK(tests::values(copy) == std::vector<double>{0.5, 2.5});
}
