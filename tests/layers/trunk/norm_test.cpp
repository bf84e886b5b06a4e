#include "layers/trunk/norm.h"
#include "layers/trunk/block.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using core::Activation;
using core::Dtype;
using core::Tensor;
using core::Var;
using layers::BasicBlock;
using layers::BatchNorm;
using layers::Context;
using tests::values;

namespace {

/// Sets gain, bias and running statistics to values other than ones and zeros.
void shake(core::Device& device, layers::Layer& layer) {
  unsigned seed = 100;
  for (auto* p : layers::parameters(layer)) {
    if (p->role == core::Role::weight || p->role == core::Role::fixed) continue;
    auto numbers = values(tests::random(device, p->value.shape(), Dtype::f64, seed++));
    bool const variance = p->name.find("running_var") != std::string::npos;
    if (variance)
      for (double& number : numbers) number = std::abs(number) + 0.5;
    device.copy(tests::tensor(device, p->value.shape(), p->value.dtype(), numbers), p->value);
  }
}

std::vector<double> numbers_of(layers::Layer& layer, std::string const& name) {
  for (auto const* p : layers::parameters(layer))
    if (p->name == name) return values(p->value);
  FAIL("no parameter " << name);
  return {};
}

Tensor infer(layers::Layer& layer, Tensor const& x) {
  core::Tape tape(core::Mode::inference);
  return layer.forward(tape, core::Tape::constant(x)).value;
}

}  // namespace

TEST_CASE("batch norm: training -> uses batch statistics, updates running statistics") {
  core::Device& device = tests::device();
  for (auto const& [dtype, bound] :
       {std::pair(Dtype::f64, 1e-13), std::pair(Dtype::f32, tests::f32_reduction),
        std::pair(Dtype::bf16, tests::bf16_rounding)}) {
    int64_t const rows = 33, channels = 3;
    BatchNorm layer({device, dtype}, "bn", channels, Activation::relu);
    shake(device, layer);
    auto const x = tests::random(device, {rows, channels}, dtype, 1);
    auto const residual = tests::random(device, {rows, channels}, dtype, 2);
    auto const gain = numbers_of(layer, "bn.weight"), bias = numbers_of(layer, "bn.bias"),
               old_mean = numbers_of(layer, "bn.running_mean"),
               old_variance = numbers_of(layer, "bn.running_var"), in = values(x),
               extra = values(residual);
    core::Tape tape;
    auto const y = layer.forward(tape, tape.input(x), tape.input(residual)).value;

    std::vector<double> expected(in.size()), means, variances;
    for (size_t c = 0; c < channels; ++c) {
      double mean = 0, squares = 0;
      for (size_t r = 0; r < rows; ++r) mean += in[r * 3 + c] / rows;
      for (size_t r = 0; r < rows; ++r) squares += std::pow(in[r * 3 + c] - mean, 2);
      for (size_t r = 0; r < rows; ++r) {
        size_t const at = r * 3 + c;
        double const normal = (in[at] - mean) / std::sqrt(squares / rows + 1e-5);
        expected[at] = std::max(0.0, normal * gain[c] + bias[c] + extra[at]);
      }
      means.push_back(0.9 * old_mean[c] + 0.1 * mean);
      variances.push_back(0.9 * old_variance[c] + 0.1 * squares / (rows - 1));
    }
    CHECK(tests::distance(values(y), expected) < bound);
    CHECK(tests::distance(numbers_of(layer, "bn.running_mean"), means) < bound);
    CHECK(tests::distance(numbers_of(layer, "bn.running_var"), variances) < bound);
  }
}

TEST_CASE("batch norm: inference -> uses running statistics, unchanged") {
  core::Device& device = tests::device();
  BatchNorm layer({device, Dtype::f64}, "bn", 3);
  shake(device, layer);
  auto const x = tests::random(device, {2, 5, 7, 3}, Dtype::f64, 1);
  auto const gain = numbers_of(layer, "bn.weight"), bias = numbers_of(layer, "bn.bias"),
             mean = numbers_of(layer, "bn.running_mean"),
             variance = numbers_of(layer, "bn.running_var");
  auto expected = values(x);
  for (size_t i = 0; i < expected.size(); ++i) {
    size_t const c = i % 3;
    expected[i] = (expected[i] - mean[c]) / std::sqrt(variance[c] + 1e-5) * gain[c] + bias[c];
  }
  CHECK(tests::distance(values(infer(layer, x)), expected) < 1e-14);
  CHECK(numbers_of(layer, "bn.running_mean") == mean);
  CHECK(numbers_of(layer, "bn.running_var") == variance);
  CHECK(infer(layer, Tensor(device, {0, 5, 7, 3}, Dtype::f64)).count() == 0);
}

TEST_CASE("batch norm: with and without residual and ReLU -> gradients match central differences") {
  core::Device& device = tests::device();
  auto const other = tests::random(device, {5, 2, 3, 4}, Dtype::f64, 1);
  auto const x = tests::random(device, {5, 2, 3, 4}, Dtype::f64, 2);
  for (auto const activation : {Activation::none, Activation::relu}) {
    for (bool const residual : {false, true}) {
      BatchNorm layer({device, Dtype::f64}, "bn", 4, activation);
      shake(device, layer);
      auto const f = [&](core::Tape& tape, Var const& v) {
        return layer.forward(tape, v, residual ? core::Tape::constant(other) : Var{});
      };
      tests::gradient_holds(device, x, f);
      tests::parameter_gradients_hold(device, layers::parameters(layer), [&](core::Tape& tape) {
        return f(tape, core::Tape::constant(x));
      });
      if (!residual) continue;
      tests::gradient_holds(device, other, [&](core::Tape& tape, Var const& v) {
        return layer.forward(tape, core::Tape::constant(x), v);
      });
    }
  }
}

TEST_CASE("basic block: forward -> equal to the composition of its parts") {
  core::Device& device = tests::device();
  Context const context{device, Dtype::f64};
  struct Case {
    int64_t in, out, stride;
  };
  for (auto const& c : {Case{3, 3, 1}, Case{3, 3, 2}, Case{3, 5, 1}, Case{3, 5, 2}}) {
    bool const projects = c.in != c.out || c.stride != 1;
    BasicBlock block(context, "b", c.in, c.out, c.stride);
    shake(device, block);
    // Initial weights depend only on the name, so parts with the same names have the weights of the
    // block.
    layers::Conv2d conv1(context, "b.conv1",
                         {.in = c.in, .out = c.out, .kernel = 3, .stride = c.stride, .padding = 1});
    layers::Conv2d conv2(context, "b.conv2",
                         {.in = c.out, .out = c.out, .kernel = 3, .padding = 1});
    layers::Conv2d down(context, "b.downsample.0",
                        {.in = c.in, .out = c.out, .kernel = 1, .stride = c.stride});
    auto const normal = [&](std::string const& name, Tensor const& x) {
      auto const gain = numbers_of(block, name + ".weight"),
                 bias = numbers_of(block, name + ".bias"),
                 mean = numbers_of(block, name + ".running_mean"),
                 variance = numbers_of(block, name + ".running_var");
      auto all = values(x);
      for (size_t i = 0; i < all.size(); ++i) {
        size_t const k = i % size_t(c.out);
        all[i] = (all[i] - mean[k]) / std::sqrt(variance[k] + 1e-5) * gain[k] + bias[k];
      }
      return all;
    };
    auto const x = tests::random(device, {2, 7, 8, c.in}, Dtype::f64, 1);
    auto const y = infer(block, x);
    auto const first = infer(conv1, x);
    auto h = normal("b.bn1", first);
    for (double& value : h) value = std::max(value, 0.0);
    auto expected = normal("b.bn2", infer(conv2, tests::tensor<double>(device, first.shape(), h)));
    auto const shortcut = projects ? normal("b.downsample.1", infer(down, x)) : values(x);
    for (size_t i = 0; i < expected.size(); ++i)
      expected[i] = std::max(expected[i] + shortcut[i], 0.0);
    CHECK(y.shape() == first.shape());
    CHECK(y.size(1) == (c.stride == 2 ? 4 : 7));
    CHECK(tests::distance(values(y), expected) < 1e-13);
    CHECK(layers::parameters(block).size() == (projects ? 18 : 12));
  }
}

TEST_CASE("basic block: backward -> gradients match central differences") {
  core::Device& device = tests::device();
  for (int64_t const stride : {1, 2}) {
    BasicBlock block({device, Dtype::f64}, "b", 3, stride == 1 ? 3 : 4, stride);
    shake(device, block);
    auto const x = tests::random(device, {3, 5, 4, 3}, Dtype::f64, 1);
    // The step is small enough to stay on one side of the kinks of ReLU.
    tests::gradient_holds(
        device, x, [&](core::Tape& tape, Var const& v) { return block.forward(tape, v); }, 1e-6,
        1e-6);
    tests::parameter_gradients_hold(
        device, layers::parameters(block),
        [&](core::Tape& tape) { return block.forward(tape, core::Tape::constant(x)); }, 1e-6, 1e-6);
  }
}
