#include "tests/kernels/simulated.h"

using namespace core;
using namespace tests::kernels;
using tests::host_cuda::all_orders;
using tests::host_cuda::Under;

namespace {

struct Result {
  Tensor y, norm, dx;

  Result(Kernels& kernels, Tensor const& x, Tensor const& dy)
      : y(unaligned(x)), norm(x.device(), {x.size(0)}, accumulator(x.dtype())), dx(empty_like(x)) {
    kernels.l2_normalise(x, y, norm);
    kernels.l2_normalise_backward(y, norm, dy, dx);
  }
};

}  // namespace

TEST_CASE("CUDA l2_normalise: every dtype and width -> within rounding of f64",
          "[kernels][l2_normalise]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  auto const width = GENERATE(int64_t{64}, from_range(odd_sizes));
  auto const rows = GENERATE(int64_t{0}, int64_t{5});
  Tensor x = tests::random(gpu.device, {rows, width}, dtype, 1);
  Tensor const dy = tests::random(gpu.device, {rows, width}, dtype, 2);
  if (rows > 0) {
    Tensor zeros = x.rows(2, 3);
    gpu.kernels.fill(0, zeros);
  }
  Result const fast(gpu.kernels, x, dy), apart(gpu.kernels, unaligned(x), unaligned(dy));
  // The exact gradient for the kernel's own y, which is rounded.
  Tensor y(gpu.device, x.shape(), Dtype::f64), norm(gpu.device, {rows}, Dtype::f64),
      dx = empty_like(y);
  gpu.cpu.l2_normalise(tests::as(x, Dtype::f64), y, norm);
  gpu.cpu.l2_normalise_backward(tests::as(fast.y, Dtype::f64), tests::as(fast.norm, Dtype::f64),
                                tests::as(dy, Dtype::f64), dx);
  double const bound = dtype == Dtype::bf16 ? 4e-3 : tests::f32_elementwise;
  CHECK(tests::distance(fast.y, y) < bound);
  CHECK(tests::distance(fast.norm, norm) < tests::f32_elementwise);
  // With one column the gradient is zero, so only rounding remains.
  if (width > 1) CHECK(tests::distance(fast.dx, dx) < bound);
  CHECK(equal(apart.y, fast.y));  // bits do not depend on addresses
  CHECK(equal(apart.norm, fast.norm));
  CHECK(equal(apart.dx, fast.dx));
}

TEST_CASE("CUDA l2_normalise: f32 input and bf16 result -> within one rounding of the CPU",
          "[kernels][l2_normalise]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const width = GENERATE(int64_t{64}, from_range(odd_sizes));
  Tensor const x = tests::random(gpu.device, {5, width}, Dtype::f32, 1);
  Tensor const dy = tests::random(gpu.device, {5, width}, Dtype::f32, 2);
  auto const run = [&](Kernels& k, Tensor const& from, Tensor const& slope, Tensor y) {
    Tensor norm(gpu.device, {5}, Dtype::f32), dx = empty_like(slope);
    k.l2_normalise(from, y, norm);
    k.l2_normalise_backward(y, norm, slope, dx);
    return std::array{y, norm, dx};
  };
  Tensor const like(gpu.device, x.shape(), Dtype::bf16);
  auto const fast = run(gpu.kernels, x, dy, empty_like(like));
  auto const slow = run(gpu.cpu, x, dy, empty_like(like));
  auto const apart =
      run(gpu.kernels, unaligned(x), unaligned(dy), unaligned(gpu.device, x.shape(), Dtype::bf16));
  // An element at a rounding boundary may differ by one unit in the last place.
  CHECK(tests::distance(fast[0], slow[0]) < 4e-3);
  CHECK(tests::distance(fast[1], slow[1]) < tests::f32_elementwise);
  if (width > 1) CHECK(tests::distance(fast[2], slow[2]) < 4e-3);
  for (size_t i = 0; i < 3; ++i) CHECK(equal(apart[i], fast[i]));
}
