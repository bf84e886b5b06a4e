#include "tests/kernels/simulated.h"

using namespace core;
using namespace tests::kernels;
using tests::host_cuda::all_orders;
using tests::host_cuda::Under;

namespace {

/// Weights, velocity and copy after two steps.
struct Trained {
  Tensor w, velocity, copy;

  Trained(Kernels& kernels, SgdStep const& step, Tensor const& g, Tensor const& start,
          bool has_copy, bool aligned) {
    w = aligned ? clone(start) : unaligned(start);
    if (step.momentum != 0) velocity = tests::as(g, g.dtype());  // any numbers
    if (has_copy) copy = Tensor(g.device(), g.shape(), Dtype::bf16);
    for (int i = 0; i < 2; ++i) kernels.sgd(step, g, w, velocity, copy);
  }
};

}  // namespace

TEST_CASE("CUDA sgd: agrees with f64", "[kernels][sgd]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const size = GENERATE(int64_t{0}, from_range(odd_sizes));
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  auto const momentum = GENERATE(0.0, 0.9);
  auto const nesterov = GENERATE(false, true);
  auto const has_copy = GENERATE(false, true);
  Tensor const rate = scalar(gpu.device, 0.1);
  SgdStep const step{.rate = rate, .momentum = momentum, .decay = 0.01, .nesterov = nesterov};
  Tensor const w = tests::random(gpu.device, {size}, dtype, 1),
               g = tests::random(gpu.device, {size}, dtype, 2);
  Trained const exact(gpu.cpu, step, tests::as(g, Dtype::f64), tests::as(w, Dtype::f64), false,
                      true);
  for (bool const aligned : {true, false}) {
    Trained const fast(gpu.kernels, step, g, w, has_copy, aligned);
    CHECK(tests::distance(fast.w, exact.w) < tests::f32_elementwise);
    if (momentum != 0)
      CHECK(tests::distance(fast.velocity, exact.velocity) < tests::f32_elementwise);
    if (has_copy) CHECK(equal(fast.copy, tests::as(fast.w, Dtype::bf16)));
  }
}

TEST_CASE("CUDA sgd: the rate is what the device holds when the step runs", "[kernels][sgd]") {
  Gpu gpu;
  Tensor rate = scalar(gpu.device, 1);
  SgdStep const step{.rate = rate};
  gpu.kernels.fill(0.5, rate);
  Tensor const g = tests::tensor<float>(gpu.device, {2}, {2, 4});
  Tensor w = tests::tensor<float>(gpu.device, {2}, {1, 1}), none;
  gpu.kernels.sgd(step, g, w, none, none);
  CHECK(tests::values(w) == std::vector<double>{0, -1});
}
