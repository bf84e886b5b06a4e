#include "layers/layer.h"
#include <algorithm>
#include "layers/trunk/linear.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using core::Dtype;
using core::Role;
using core::Tensor;
using layers::Context;
using tests::values;

namespace {

/// Mean and standard deviation.
std::pair<double, double> spread(std::vector<double> const& all) {
  double sum = 0, squares = 0;
  for (double const value : all) sum += value;
  double const mean = sum / double(all.size());
  for (double const value : all) squares += (value - mean) * (value - mean);
  return {mean, std::sqrt(squares / double(all.size()))};
}

}  // namespace

TEST_CASE("layers: initial weights -> depend only on seed and name") {
  core::Device& device = tests::device();
  auto const draw = [&](uint64_t seed, std::string const& name, Dtype dtype = Dtype::f32) {
    return values(layers::normal({device, dtype, seed}, name, Role::weight, {33}, 1).value);
  };
  auto const first = draw(1, "layer1.weight");
  draw(1, "other");
  CHECK(draw(1, "layer1.weight") == first);
  CHECK(draw(1, "layer1.weight", Dtype::f64) == first);
  CHECK(draw(1, "layer1.weight", Dtype::bf16) == first);  // the master weights
  CHECK(draw(2, "layer1.weight") != first);
  CHECK(draw(1, "layer2.weight") != first);
  CHECK(draw(1, "1layer.weight") != first);
}

TEST_CASE("layers: normal, uniform, constant -> the requested distribution") {
  core::Device& device = tests::device();
  Context const context{device};
  auto const [mean, stddev] =
      spread(values(layers::normal(context, "a", Role::weight, {200, 500}, 0.3).value));
  // 1e5 values. Standard errors: 0.3 / 316 for the mean, 0.3 / 447 for the standard deviation.
  CHECK(std::abs(mean) < 4e-3);
  CHECK(stddev == Approx(0.3).margin(3e-3));
  auto const uniform = values(layers::uniform(context, "b", Role::bias, {100'000}, 0.5).value);
  CHECK(spread(uniform).second == Approx(0.5 / std::sqrt(3)).margin(2e-3));
  auto const [least, most] = std::minmax_element(uniform.begin(), uniform.end());
  CHECK((*least >= -0.5 && *least < -0.49 && *most < 0.5 && *most > 0.49));
  auto const five = layers::constant(context, "c", Role::norm, {3}, 5);
  CHECK(values(five.value) == std::vector<double>{5, 5, 5});
  CHECK(five.role == Role::norm);
  CHECK(five.name == "c");
}

TEST_CASE("layers: dtype bf16 -> weights have a compute copy") {
  core::Device& device = tests::device();
  auto const make = [&](Dtype dtype, Role role) {
    return layers::normal({device, dtype}, "w", role, {31}, 1);
  };
  for (auto const dtype : {Dtype::f32, Dtype::f64}) {
    auto const p = make(dtype, Role::weight);
    CHECK(p.value.dtype() == dtype);
    CHECK(p.compute.raw() == p.value.raw());
  }
  auto p = make(Dtype::bf16, Role::weight);
  CHECK(p.value.dtype() == Dtype::f32);
  REQUIRE(p.compute.dtype() == Dtype::bf16);
  auto const rounded = [&] { return values(tests::as(p.value, Dtype::bf16)); };
  CHECK(values(p.compute) == rounded());
  device.kernels().scale(3, p.value);
  CHECK(values(p.compute) != rounded());
  layers::refresh(p);
  CHECK(values(p.compute) == rounded());
  for (auto const role : {Role::bias, Role::norm, Role::statistics})
    CHECK(make(Dtype::bf16, role).compute.dtype() == Dtype::f32);
}

TEST_CASE("linear: forward -> x W^T + b") {
  core::Device& device = tests::device();
  for (auto const& [dtype, bound] :
       {std::pair(Dtype::f64, 1e-14), std::pair(Dtype::f32, tests::f32_reduction),
        std::pair(Dtype::bf16, tests::bf16_rounding)}) {
    for (bool const bias : {false, true}) {
      layers::Linear layer({device, dtype}, "fc", 31, 7, bias);
      auto const all = layers::parameters(layer);
      REQUIRE(all.size() == (bias ? 2 : 1));
      CHECK(all[0]->name == "fc.weight");
      CHECK(all[0]->value.shape() == core::Shape{7, 31});
      auto const w = values(all[0]->value);
      double const limit = 1 / std::sqrt(31), top = *std::max_element(w.begin(), w.end());
      CHECK((top < limit && top > 0.9 * limit));
      if (bias) CHECK((all[1]->name == "fc.bias" && all[1]->value.shape() == core::Shape{7}));

      auto const x = tests::random(device, {3, 31}, dtype, 1);
      core::Tape tape(core::Mode::inference);
      auto const y = layer.forward(tape, core::Tape::constant(x)).value;
      auto const in = values(x), b = bias ? values(all[1]->value) : std::vector<double>(7);
      std::vector<double> expected;
      for (size_t n = 0; n < 3; ++n)
        for (size_t o = 0; o < 7; ++o) {
          double sum = b[o];
          for (size_t i = 0; i < 31; ++i) sum += in[n * 31 + i] * w[o * 31 + i];
          expected.push_back(sum);
        }
      CHECK(y.dtype() == dtype);
      CHECK(tests::distance(values(y), expected) < bound);
    }
  }
}

TEST_CASE("linear: backward -> gradients match central differences") {
  core::Device& device = tests::device();
  layers::Linear layer({device, Dtype::f64}, "fc", 5, 3, true);
  auto const x = tests::random(device, {4, 5}, Dtype::f64, 1);
  tests::gradient_holds(
      device, x, [&](core::Tape& tape, core::Var const& v) { return layer.forward(tape, v); });
  tests::parameter_gradients_hold(device, layers::parameters(layer), [&](core::Tape& tape) {
    return layer.forward(tape, core::Tape::constant(x));
  });
}
