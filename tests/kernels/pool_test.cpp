#include "tests/kernels/simulated.h"

using namespace core;
using namespace tests::kernels;
using tests::host_cuda::all_orders;
using tests::host_cuda::Under;

namespace {

std::vector<Window> const windows{
    {.size = {3, 3}, .stride = {2, 2}, .padding = {1, 1}},
    {.size = {2, 3}, .stride = {1, 2}, .padding = {0, 1}, .dilation = {2, 2}},
    {.size = {1, 1}, .stride = {3, 1}},
};

Shape pooled(Shape const& x, Window const& window) {
  return {x[0], window.out_height(x[1]), window.out_width(x[2]), x[3]};
}

/// Max and average pooling of x, and their gradients for dy.
struct Pools {
  Tensor most, where, dmost, mean, dmean;

  Pools(Kernels& kernels, Tensor const& x, Tensor const& dy, Window const& window)
      : most(empty_like(dy)),
        where(dy.device(), dy.shape(), Dtype::i32),
        dmost(empty_like(x)),
        mean(empty_like(dy)),
        dmean(empty_like(x)) {
    kernels.max_pool(x, window, most, where);
    kernels.max_pool_backward(dy, where, window, dmost);
    kernels.average_pool(x, window, mean);
    kernels.average_pool_backward(dy, window, dmean);
  }
};

}  // namespace

TEST_CASE("CUDA pools: every dtype -> within rounding of f64", "[kernels][pool]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const window = GENERATE(from_range(windows));
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  auto const shape = GENERATE(Shape{2, 5, 6, 1}, Shape{1, 4, 4, 31}, Shape{2, 7, 5, 32},
                              Shape{1, 5, 4, 33}, Shape{1, 4, 4, 255}, Shape{1, 5, 4, 257},
                              Shape{1, 3, 4, 4097}, Shape{1, 4, 4, 4096}, Shape{0, 5, 6, 8});
  Tensor const x = tests::random(gpu.device, shape, dtype, 1);
  Tensor const dy = tests::random(gpu.device, pooled(shape, window), dtype, 2);
  Pools const fast(gpu.kernels, x, dy, window);
  Pools const exact(gpu.cpu, tests::as(x, Dtype::f64), tests::as(dy, Dtype::f64), window);
  double const bound = dtype == Dtype::bf16 ? 4e-3 : tests::f32_elementwise;
  CHECK(equal(fast.most, exact.most));
  CHECK(equal(fast.where, exact.where));
  CHECK(tests::distance(fast.dmost, exact.dmost) < bound);
  CHECK(tests::distance(fast.mean, exact.mean) < bound);
  CHECK(tests::distance(fast.dmean, exact.dmean) < bound);

  Pools const apart(gpu.kernels, unaligned(x), unaligned(dy), window);
  CHECK(equal(apart.most, fast.most));
  CHECK(equal(apart.where, fast.where));
  CHECK(equal(apart.dmost, fast.dmost));
  CHECK(equal(apart.mean, fast.mean));
  CHECK(equal(apart.dmean, fast.dmean));
}

TEST_CASE("CUDA pools: window of the whole image -> within rounding of f64", "[kernels][pool]") {
  Gpu gpu;
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  Tensor const x = tests::random(gpu.device, {3, 7, 5, 24}, dtype, 1);
  Tensor const dy = tests::random(gpu.device, {3, 1, 1, 24}, dtype, 2);
  Window const window{.size = {7, 5}};
  Pools const fast(gpu.kernels, x, dy, window);
  Pools const exact(gpu.cpu, tests::as(x, Dtype::f64), tests::as(dy, Dtype::f64), window);
  double const bound = dtype == Dtype::bf16 ? 4e-3 : tests::f32_elementwise;
  CHECK(equal(fast.most, exact.most));
  CHECK(tests::distance(fast.mean, exact.mean) < bound);
  CHECK(tests::distance(fast.dmean, exact.dmean) < bound);
}

TEST_CASE("CUDA max_pool: equal values, infinities, NaN, windows without pixels -> same as the CPU",
          "[kernels][pool]") {
  Gpu gpu;
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  double const inf = std::numeric_limits<double>::infinity(), nan = std::nan("");
  auto const same = [&](std::vector<double> const& x, Window const& window) {
    auto const width = static_cast<int64_t>(x.size());
    Tensor const image = tests::tensor(gpu.device, {1, 1, width, 1}, dtype, x);
    Tensor const dy = tests::random(gpu.device, pooled(image.shape(), window), dtype, 1);
    Pools const fast(gpu.kernels, image, dy, window), exact(gpu.cpu, image, dy, window);
    return equal(fast.most, exact.most) && equal(fast.where, exact.where) &&
           equal(fast.dmost, exact.dmost);
  };
  CHECK(same({1, 3, 3, 2}, {.size = {1, 4}}));
  CHECK(same({-inf, -inf}, {.size = {1, 2}}));
  CHECK(same({-inf, inf}, {.size = {1, 2}}));
  CHECK(same({1, nan, 2, nan, 3}, {.size = {1, 5}}));
  CHECK(same({5, 6}, {.size = {1, 2}, .padding = {0, 1}, .dilation = {1, 3}}));
}
