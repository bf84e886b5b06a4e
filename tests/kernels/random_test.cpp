#include "tests/kernels/simulated.h"

using namespace core;
using namespace tests::kernels;
using tests::host_cuda::all_orders;
using tests::host_cuda::Under;

namespace {

RandomKey const key{12345678901234567ull, Purpose::dropout, 42};
int64_t const firsts[] = {0, 1, 2, 3, 63, (int64_t{1} << 40) + 6};

}  // namespace

TEST_CASE("CUDA random_uniform: every size -> the CPU's bits", "[kernels][random]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const size = GENERATE(int64_t{0}, from_range(odd_sizes));
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  for (int64_t const first : firsts) {
    Tensor fast =
               first % 2 ? unaligned(gpu.device, {size}, dtype) : Tensor(gpu.device, {size}, dtype),
           exact(gpu.device, {size}, dtype);
    gpu.kernels.random_uniform(key, first, -0.3, 1.7, fast);
    gpu.cpu.random_uniform(key, first, -0.3, 1.7, exact);
    CHECK(equal(fast, exact));
  }
}

TEST_CASE("CUDA random_normal: every size -> the CPU's numbers within rounding",
          "[kernels][random]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const size = GENERATE(int64_t{0}, from_range(odd_sizes));
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  for (int64_t const first : firsts) {
    Tensor fast(gpu.device, {size}, dtype), exact(gpu.device, {size}, dtype);
    gpu.kernels.random_normal(key, first, 0.25, 1.5, fast);
    gpu.cpu.random_normal(key, first, 0.25, 1.5, exact);
    CHECK(tests::distance(fast, exact) < tests::f32_elementwise);
  }
}

TEST_CASE("CUDA random numbers: bf16 result -> error", "[kernels][random]") {
  Gpu gpu;
  Tensor t(gpu.device, {3}, Dtype::bf16);
  CHECK_THROWS_AS(gpu.kernels.random_normal(key, 0, 0, 1, t), Error);
  CHECK_THROWS_AS(gpu.kernels.random_uniform(key, 0, 0, 1, t), Error);
}

TEST_CASE("CUDA dropout: every dtype -> the CPU's mask", "[kernels][random]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const size = GENERATE(int64_t{0}, from_range(odd_sizes));
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  Tensor const x = tests::random(gpu.device, {size}, dtype, 1), moved = unaligned(x);
  for (int64_t const first : firsts) {
    Tensor fast = empty_like(x), apart = unaligned(gpu.device, {size}, dtype),
           exact = empty_like(x);
    gpu.kernels.dropout(x, key, first, 0.3, fast);
    gpu.kernels.dropout(moved, key, first, 0.3, apart);
    gpu.cpu.dropout(x, key, first, 0.3, exact);
    CHECK(equal(fast, exact));
    CHECK(equal(apart, exact));
  }
}
