#include "core/ops.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;
using tests::values;

namespace {

using Values = std::vector<double>;

struct Case {
  Shape x;
  int64_t out;
  Window window;
  int64_t groups = 1;

  Shape weights() const { return {out, window.size.h, window.size.w, x[3] / groups}; }
  Shape y() const { return {x[0], window.out_height(x[1]), window.out_width(x[2]), out}; }
};

std::ostream& operator<<(std::ostream& out, Case const& c) {
  return out << "x " << c.x << ", w " << c.weights() << ", y " << c.y() << ", " << c.groups
             << " groups";
}

/// Sizes around those of vector units, every window option, and common layers of residual networks.
std::vector<Case> const cases{
    {{1, 1, 1, 1}, 1, {}},
    {{2, 5, 7, 1}, 33, {.size = {3, 3}, .padding = {1, 1}}},
    {{3, 9, 8, 31}, 17, {.size = {3, 3}, .stride = {2, 2}, .padding = {1, 1}}},
    {{2, 14, 14, 3}, 64, {.size = {7, 7}, .stride = {2, 2}, .padding = {3, 3}}},
    {{2, 8, 8, 32}, 64, {.size = {3, 3}, .padding = {1, 1}}},
    {{2, 8, 8, 64}, 32, {.size = {1, 1}, .stride = {2, 2}}},
    {{1, 4, 4, 257}, 31, {}},
    {{3, 3, 1, 8}, 32, {.size = {3, 3}, .stride = {2, 2}, .padding = {1, 1}}},
    {{2, 11, 6, 16}, 8, {.size = {3, 1}, .stride = {2, 1}, .padding = {0, 2}, .dilation = {3, 1}}},
    {{2, 9, 9, 16}, 16, {.size = {3, 3}, .padding = {2, 2}, .dilation = {2, 2}}},
    {{2, 6, 6, 12}, 8, {.size = {3, 3}, .padding = {1, 1}}, 4},
    {{2, 6, 5, 33}, 33, {.size = {3, 3}, .stride = {2, 1}, .padding = {1, 1}}, 33},
    {{5, 6, 6, 64}, 64, {.size = {3, 3}, .padding = {1, 1}}, 2},
};

/// One convolution with both of its backward passes, in the dtype of x.
struct Result {
  Tensor y, dx, dw;
  Tensor added;  ///< x with the gradient of the input added
  Result(Case const& c, Tensor const& x, Tensor const& w, Tensor const& bias, Tensor const& dy)
      : y(x.device(), c.y(), x.dtype()),
        dx(empty_like(x)),
        dw(x.device(), c.weights(), accumulator(x.dtype())),
        added(clone(x)) {
    Kernels& kernels = x.device().kernels();
    kernels.conv2d(x, w, bias, c.window, c.groups, y);
    kernels.conv2d_backward_input(dy, w, c.window, c.groups, Store::replace, dx);
    kernels.conv2d_backward_input(dy, w, c.window, c.groups, Store::add, added);
    kernels.conv2d_backward_weights(x, dy, c.window, c.groups, dw);
  }
};

Tensor count_up(Device& device, Shape const& shape) {
  Values numbers;
  for (int64_t i = 0; i < count(shape); ++i) numbers.push_back(static_cast<double>(i + 1));
  return tests::tensor<double>(device, shape, numbers);
}

}  // namespace

TEST_CASE("conv2d: plain, padded and dilated windows by hand -> result and both gradients",
          "[conv2d]") {
  Device& device = tests::device();
  Tensor const x = count_up(device, {1, 3, 3, 1}), w = count_up(device, {1, 2, 2, 1});
  auto const convolve = [&](Window const& window) {
    Case const c{x.shape(), 1, window};
    return Result(c, x, w, {}, tests::tensor<double>(device, c.y(), Values(count(c.y()), 1)));
  };

  Result const plain = convolve({.size = {2, 2}});
  CHECK(values(plain.y) == Values{37, 47, 67, 77});
  CHECK(values(plain.dx) == Values{1, 3, 2, 4, 10, 6, 3, 7, 4});
  CHECK(values(plain.dw) == Values{12, 16, 24, 28});

  // Top left corners of the windows: (-1, -1), (-1, 1), (1, -1), (1, 1).
  Result const padded = convolve({.size = {2, 2}, .stride = {2, 2}, .padding = {1, 1}});
  CHECK(values(padded.y) == Values{4, 18, 36, 77});
  CHECK(values(padded.dx) == Values{4, 3, 4, 2, 1, 2, 4, 3, 4});
  CHECK(values(padded.dw) == Values{5, 10, 10, 20});

  Result const dilated = convolve({.size = {2, 2}, .dilation = {2, 2}});
  CHECK(values(dilated.y) == Values{1 + 6 + 21 + 36});
  CHECK(values(dilated.dx) == Values{1, 0, 2, 0, 0, 0, 3, 0, 4});
  CHECK(values(dilated.dw) == Values{1, 3, 7, 9});
}

TEST_CASE("conv2d: two groups and a bias by hand -> result and both gradients", "[conv2d]") {
  Device& device = tests::device();
  Tensor const x = count_up(device, {1, 1, 2, 4});  // pixels (1 2 3 4) and (5 6 7 8)
  Tensor const w = count_up(device, {2, 1, 1, 2});  // (1 2) on channels 0, 1; (3 4) on 2, 3
  Tensor const bias = tests::tensor<double>(device, {2}, {0.5, -1});
  Case const c{x.shape(), 2, {}, 2};
  Result const result(c, x, w, bias, count_up(device, c.y()));
  CHECK(values(result.y) == Values{5.5, 24, 17.5, 52});
  CHECK(values(result.dx) == Values{1, 2, 6, 8, 3, 6, 12, 16});
  CHECK(values(result.added) == Values{2, 4, 9, 12, 8, 12, 19, 24});
  CHECK(values(result.dw) == Values{1 + 15, 2 + 18, 6 + 28, 8 + 32});
}

TEST_CASE(
    "conv2d: f32 and bf16 inputs -> within rounding of f64; a second call gives the same bits",
    "[conv2d]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  if (!tests::can_multiply(device, dtype)) return;
  auto const c = GENERATE(from_range(cases));
  CAPTURE(dtype, c);
  Tensor const x = tests::random(device, c.x, dtype, 1);
  Tensor const w = tests::random(device, c.weights(), dtype, 2);
  Tensor const bias = tests::random(device, {c.out}, Dtype::f32, 3);
  Tensor const dy = tests::random(device, c.y(), dtype, 4);

  auto const wide = [](Tensor const& t) { return tests::as(t, Dtype::f64); };
  Result const exact(c, wide(x), wide(w), wide(bias), wide(dy));
  Result const fast(c, x, w, bias, dy);
  CHECK(tests::distance(fast.y, exact.y) < tests::tolerance(dtype));
  CHECK(tests::distance(fast.dx, exact.dx) < tests::tolerance(dtype));
  CHECK(tests::distance(fast.added, exact.added) < tests::tolerance(dtype));
  // cuDNN rounds the gradient of the weights of bf16 images to bf16: core/cuda/cudnn.h.
  bool const rounded = dtype == Dtype::bf16 && !device.on_host();
  CHECK(tests::distance(fast.dw, exact.dw) <
        (rounded ? tests::tolerance(dtype) : tests::f32_reduction));

  Result const again(c, x, w, bias, dy);
  CHECK(values(again.y) == values(fast.y));
  CHECK(values(again.dx) == values(fast.dx));
  CHECK(values(again.added) == values(fast.added));
  CHECK(values(again.dw) == values(fast.dw));
}

TEST_CASE("conv2d: empty batch -> empty result and a zero weight gradient", "[conv2d]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f64, Dtype::f32, Dtype::bf16);
  Case const c{{0, 5, 5, 3}, 4, {.size = {3, 3}}};
  Tensor const x(device, c.x, dtype), dy(device, c.y(), dtype);
  Result const result(c, x, tests::random(device, c.weights(), dtype, 1), {}, dy);
  CHECK(values(result.dw) == Values(4 * 3 * 3 * 3, 0.0));
}

TEST_CASE("conv2d: f64 x, weights and bias -> gradients match central differences",
          "[conv2d][ops]") {
  Device& device = tests::device();
  auto const c =
      GENERATE(Case{{2, 4, 5, 2}, 3, {.size = {3, 2}, .stride = {2, 1}, .padding = {1, 0}}},
               Case{{1, 5, 5, 4}, 6, {.size = {2, 2}, .padding = {1, 1}, .dilation = {2, 1}}, 2});
  Tensor const x = tests::random(device, c.x, Dtype::f64, 1);
  Tensor const w = tests::random(device, c.weights(), Dtype::f64, 2);
  Tensor const bias = tests::random(device, {c.out}, Dtype::f64, 3);
  auto const constant = [](Tensor const& t) { return Tape::constant(t); };
  tests::gradient_holds(device, x, [&](Tape& tape, Var const& v) {
    return conv2d(tape, v, constant(w), constant(bias), c.window, c.groups);
  });
  tests::gradient_holds(device, w, [&](Tape& tape, Var const& v) {
    return conv2d(tape, constant(x), v, {}, c.window, c.groups);
  });
  tests::gradient_holds(device, bias, [&](Tape& tape, Var const& v) {
    return conv2d(tape, constant(x), constant(w), v, c.window, c.groups);
  });
}

TEST_CASE("conv2d: wrong shapes, dtype or stride -> error with the offending values",
          "[conv2d][ops]") {
  Device& device = tests::device();
  Tape tape;
  auto const input = [&](Shape shape, Dtype dtype = Dtype::f32) {
    return tape.input(Tensor(device, std::move(shape), dtype));
  };
  auto const x = input({2, 4, 4, 6});
  using Catch::Contains;
  CHECK_THROWS_WITH(conv2d(tape, input({2, 4, 4}), input({3, 1, 1, 6}), {}, {}),
                    Contains("conv2d") && Contains("(2, 4, 4)"));
  CHECK_THROWS_WITH(conv2d(tape, x, input({3, 1, 1, 5}), {}, {}),
                    Contains("(2, 4, 4, 6)") && Contains("(3, 1, 1, 5)"));
  CHECK_THROWS_WITH(conv2d(tape, x, input({3, 1, 1, 3}), {}, {}, 2), Contains("2 groups"));
  CHECK_THROWS_WITH(conv2d(tape, x, input({3, 2, 1, 6}), {}, {}), Contains("window of 1 x 1"));
  CHECK_THROWS_WITH(conv2d(tape, x, input({3, 5, 5, 6}), {}, {.size = {5, 5}}),
                    Contains("no room for a window of 5 x 5"));
  CHECK_THROWS_WITH(conv2d(tape, x, input({3, 1, 1, 6}), input({2}), {}), Contains("bias"));
  CHECK_THROWS_WITH(conv2d(tape, x, input({3, 1, 1, 6}, Dtype::f64), {}, {}), Contains("f64"));
  CHECK_THROWS_WITH(conv2d(tape, x, input({3, 1, 1, 6}), {}, {.stride = {0, 1}}),
                    Contains("at least 1"));
}
