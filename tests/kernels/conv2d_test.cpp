#include "tests/kernels/simulated.h"

using namespace core;
using namespace tests::kernels;
using tests::host_cuda::all_orders;
using tests::host_cuda::Under;

namespace {

struct Problem {
  Shape x, w;  ///< (N, H, W, Ch), (Out, h, w, Ch / groups)
  Window window;
  int64_t groups;

  Shape y() const { return {x[0], window.out_height(x[1]), window.out_width(x[2]), w[0]}; }
};

std::vector<Problem> const problems{
    {{1, 1, 1, 1}, {1, 1, 1, 1}, {}, 1},
    {{2, 5, 6, 3}, {4, 3, 3, 3}, {.size = {3, 3}, .stride = {2, 2}, .padding = {1, 1}}, 1},
    {{1, 7, 5, 6}, {4, 2, 3, 3}, {.size = {2, 3}, .padding = {1, 2}, .dilation = {2, 1}}, 2},
    {{2, 4, 4, 5}, {5, 3, 1, 1}, {.size = {3, 1}, .stride = {1, 3}}, 5},
    {{1, 3, 3, 31}, {33, 1, 1, 31}, {}, 1},
    {{1, 2, 2, 257}, {2, 2, 2, 257}, {.size = {2, 2}, .padding = {1, 1}}, 1},
};

/// The result, and the gradients of the input and the weights.
struct Convolved {
  Tensor y, dx, dw;
  Tensor added;  ///< x with the gradient of the input added

  Convolved(Kernels& kernels, Problem const& p, Tensor const& x, Tensor const& w,
            Tensor const& bias, Tensor const& dy)
      : y(empty_like(dy)),
        dx(empty_like(x)),
        dw(x.device(), w.shape(), accumulator(x.dtype())),
        added(clone(x)) {
    kernels.conv2d(x, w, bias, p.window, p.groups, y);
    kernels.conv2d_backward_input(dy, w, p.window, p.groups, Store::replace, dx);
    kernels.conv2d_backward_input(dy, w, p.window, p.groups, Store::add, added);
    kernels.conv2d_backward_weights(x, dy, p.window, p.groups, dw);
  }
};

}  // namespace

TEST_CASE("CUDA conv2d: f64 -> same as the CPU within 1e-14", "[kernels][conv2d]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const p = GENERATE(from_range(problems));
  auto const biased = GENERATE(false, true);
  auto const random = [&](Shape const& shape, unsigned seed) {
    return tests::random(gpu.device, shape, Dtype::f64, seed);
  };
  Tensor const x = random(p.x, 1), w = random(p.w, 2), dy = random(p.y(), 3);
  Tensor const bias = biased ? random({p.w[0]}, 4) : Tensor{};
  Convolved const fast(gpu.kernels, p, x, w, bias, dy), exact(gpu.cpu, p, x, w, bias, dy);
  // Both sum in the same order; they differ by fused multiply-adds only.
  CHECK(tests::distance(fast.y, exact.y) < 1e-14);
  CHECK(tests::distance(fast.dx, exact.dx) < 1e-14);
  CHECK(tests::distance(fast.added, exact.added) < 1e-14);
  CHECK(tests::distance(fast.dw, exact.dw) < 1e-14);
}

TEST_CASE("CUDA conv2d: operands without elements -> same as the CPU", "[kernels][conv2d]") {
  Gpu gpu;
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  Window const window{.size = {3, 3}, .padding = {1, 1}};
  auto const p = GENERATE_COPY(Problem{{0, 5, 5, 2}, {3, 3, 3, 2}, window, 1},
                               Problem{{2, 5, 5, 0}, {3, 3, 3, 0}, window, 1},
                               Problem{{2, 5, 5, 2}, {0, 3, 3, 2}, window, 1},
                               Problem{{2, 0, 5, 2}, {3, 3, 3, 2}, window, 1});
  Tensor const x = tests::random(gpu.device, p.x, dtype, 1);
  Tensor const w = tests::random(gpu.device, p.w, dtype, 2);
  Tensor const bias = tests::random(gpu.device, {p.w[0]}, accumulator(dtype), 3);
  Tensor const dy = tests::random(gpu.device, p.y(), dtype, 4);
  Convolved const fast(gpu.kernels, p, x, w, bias, dy), exact(gpu.cpu, p, x, w, bias, dy);
  CHECK(equal(fast.y, exact.y));
  CHECK(equal(fast.dx, exact.dx));
  CHECK(equal(fast.added, exact.added));
  CHECK(equal(fast.dw, exact.dw));
}

TEST_CASE("CUDA conv2d: f32 -> forwarded to the library", "[kernels][conv2d]") {
  Gpu gpu;
  Problem const& p = problems[1];
  auto const random = [&](Shape const& shape, unsigned seed) {
    return tests::random(gpu.device, shape, Dtype::f32, seed);
  };
  Tensor const x = random(p.x, 1), w = random(p.w, 2), dy = random(p.y(), 3);
  Tensor const bias = random({p.w[0]}, 4);
  Convolved const given(gpu.kernels, p, x, w, bias, dy), library(gpu.cpu, p, x, w, bias, dy);
  CHECK(equal(given.y, library.y));
  CHECK(equal(given.dx, library.dx));
  CHECK(equal(given.added, library.added));
  CHECK(equal(given.dw, library.dw));
}
