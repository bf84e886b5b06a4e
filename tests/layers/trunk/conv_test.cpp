#include "layers/trunk/conv.h"
#include <algorithm>
#include "tests/support/device.h"
#include "tests/support/reference.h"

using Catch::Contains;
using core::Dtype;
using core::Shape;
using core::Tensor;
using layers::Conv2d;
using tests::values;

namespace {

/// Each combination covers an option that another lacks. Images are not square, so height and width
/// differ.
Conv2d::Options const cases[] = {
    {.in = 1, .out = 1, .kernel = 1},
    {.in = 3, .out = 4, .kernel = 3, .padding = 1, .bias = true},
    {.in = 2, .out = 5, .kernel = 3, .stride = 2, .padding = 1},
    {.in = 2, .out = 3, .kernel = 2, .padding = 2, .dilation = 3, .bias = true},
    {.in = 6, .out = 4, .kernel = 3, .stride = 3, .groups = 2, .bias = true},
    {.in = 4, .out = 4, .kernel = 5, .padding = 2, .groups = 4},
};

/// The definition of convolution in plain loops.
std::vector<double> convolution(std::vector<double> const& x, Shape const& in,
                                std::vector<double> const& w, std::vector<double> const& b,
                                Conv2d::Options const& o, Shape const& out) {
  std::vector<double> y;
  int64_t const depth = o.in / o.groups, group_out = o.out / o.groups;
  auto const tap = [&](int64_t n, int64_t h, int64_t v, int64_t c, int64_t weight) {
    if (h < 0 || h >= in[1] || v < 0 || v >= in[2]) return 0.0;
    return x[size_t(((n * in[1] + h) * in[2] + v) * in[3] + c)] * w[size_t(weight)];
  };
  for (int64_t i = 0; i < core::count(out); ++i) {
    int64_t const c = i % out[3], v = i / out[3] % out[2], h = i / out[3] / out[2] % out[1],
                  n = i / out[3] / out[2] / out[1];
    double sum = b.empty() ? 0 : b[size_t(c)];
    for (int64_t k = 0; k < o.kernel * o.kernel * depth; ++k) {
      int64_t const d = k % depth, kw = k / depth % o.kernel, kh = k / depth / o.kernel;
      sum += tap(n, h * o.stride - o.padding + kh * o.dilation,
                 v * o.stride - o.padding + kw * o.dilation, c / group_out * depth + d,
                 c * o.kernel * o.kernel * depth + k);
    }
    y.push_back(sum);
  }
  return y;
}

}  // namespace

TEST_CASE("conv2d: every option -> equal to the definition") {
  core::Device& device = tests::device();
  for (auto const& [dtype, bound] :
       {std::pair(Dtype::f64, 1e-14), std::pair(Dtype::f32, tests::f32_reduction),
        std::pair(Dtype::bf16, tests::bf16_rounding)}) {
    for (auto const& options : cases) {
      Conv2d layer({device, dtype}, "conv", options);
      auto const all = layers::parameters(layer);
      REQUIRE(all.size() == (options.bias ? 2 : 1));
      CHECK(all[0]->value.shape() ==
            Shape{options.out, options.kernel, options.kernel, options.in / options.groups});
      auto const x = tests::random(device, {2, 9, 11, options.in}, dtype, 1);
      core::Tape tape(core::Mode::inference);
      auto const y = layer.forward(tape, core::Tape::constant(x)).value;
      auto const b = options.bias ? values(all[1]->value) : std::vector<double>{};
      auto const expected =
          convolution(values(x), x.shape(), values(all[0]->value), b, options, y.shape());
      CHECK(y.shape() ==
            Shape{2, layer.window().out_height(9), layer.window().out_width(11), options.out});
      CHECK(tests::distance(values(y), expected) < bound);
    }
  }
}

TEST_CASE("conv2d: backward with every option -> gradients match central differences") {
  core::Device& device = tests::device();
  for (auto const& options : cases) {
    Conv2d layer({device, Dtype::f64}, "conv", options);
    auto const x = tests::random(device, {2, 5, 6, options.in}, Dtype::f64, 1);
    tests::gradient_holds(
        device, x, [&](core::Tape& tape, core::Var const& v) { return layer.forward(tape, v); });
    tests::parameter_gradients_hold(device, layers::parameters(layer), [&](core::Tape& tape) {
      return layer.forward(tape, core::Tape::constant(x));
    });
  }
}

TEST_CASE("conv2d: empty batch -> empty output, zero gradients") {
  core::Device& device = tests::device();
  for (auto const dtype : {Dtype::f64, Dtype::f32, Dtype::bf16}) {
    Conv2d layer({device, dtype}, "conv", cases[1]);
    core::Tape tape;
    auto const x = tape.input(Tensor(device, {0, 9, 11, 3}, dtype));
    auto const y = layer.forward(tape, x);
    CHECK(y.value.shape() == Shape{0, 9, 11, 4});
    tape.backward(y, core::empty_like(y.value));
    CHECK(tape.grad(x).shape() == Shape{0, 9, 11, 3});
    for (auto const* p : layers::parameters(layer))
      CHECK(values(p->grad) == std::vector<double>(size_t(p->value.count())));
  }
}

TEST_CASE("conv2d: initialization -> He fan-out weights, bias as in torch") {
  core::Device& device = tests::device();
  for (int64_t const groups : {1, 4}) {
    Conv2d layer({device}, "conv",
                 {.in = 64, .out = 96, .kernel = 3, .groups = groups, .bias = true});
    auto const all = layers::parameters(layer);
    auto const w = values(all[0]->value), b = values(all[1]->value);
    double squares = 0;
    for (double const value : w) squares += value * value;
    double const fan_out = 96.0 * 9;  // as in PyTorch, independent of groups
    CHECK(std::sqrt(squares / double(w.size())) == Approx(std::sqrt(2 / fan_out)).epsilon(0.02));
    double const limit = 1 / std::sqrt(64.0 * 9 / double(groups));
    auto const [least, most] = std::minmax_element(b.begin(), b.end());
    CHECK((*least >= -limit && *most<limit&& * most> 0.9 * limit));
  }
}

TEST_CASE("conv2d: groups do not divide the channels -> throws") {
  core::Device& device = tests::device();
  CHECK_THROWS_WITH(Conv2d({device}, "stem", {.in = 3, .out = 4, .kernel = 3, .groups = 2}),
                    Contains("stem") && Contains("2 groups"));
  CHECK_THROWS_WITH(Conv2d({device}, "stem", {.in = 4, .out = 3, .kernel = 3, .groups = 2}),
                    Contains("2 groups"));
  CHECK_THROWS_WITH(Conv2d({device}, "stem", {.in = 4, .out = 4, .kernel = 3, .groups = 0}),
                    Contains("0 groups"));
}
