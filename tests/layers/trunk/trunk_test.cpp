#include "layers/trunk/trunk.h"
#include <map>
#include <set>
#include "tests/support/device.h"
#include "tests/support/reference.h"

using core::Dtype;
using core::ImageShape;
using core::Shape;
using core::Tensor;
using layers::Context;
using layers::ConvTrunk;
using layers::make_trunk;
using layers::SmallTrunk;
using layers::Trunk;
using tests::values;

namespace {

/// Runs one training pass on random images. Checks every shape and that every gradient exists.
void check_pass(Trunk& trunk, Context const& context, ImageShape const& image, int64_t rows) {
  INFO(image.height << " pixels, " << rows << " rows");
  core::Tape tape;
  auto const x = tape.input(tests::random(
      context.device, {rows, image.height, image.width, image.channels}, context.dtype, 1));
  auto const y = trunk.forward(tape, x);
  CHECK(y.value.shape() == Shape{rows, trunk.features()});
  CHECK(y.value.dtype() == context.dtype);
  tape.backward(y, tests::random(context.device, y.value.shape(), context.dtype, 2));
  CHECK(tape.grad(x).shape() == x.value.shape());
  for (auto const* p : layers::parameters(trunk)) {
    INFO(p->name);
    CHECK(std::isfinite(tests::inner(p->value, p->value)));
    if (!p->trainable()) continue;
    REQUIRE(p->grad);
    CHECK(p->grad.shape() == p->value.shape());
    double const size = tests::inner(p->grad, p->grad);
    if (rows == 0) CHECK(size == 0);
    if (rows > 0) CHECK((size > 0 && std::isfinite(size)));
  }
}

}  // namespace

TEST_CASE("trunks: images of 28 to 64 pixels, empty batch -> correct shapes") {
  core::Device& device = tests::device();
  for (auto const dtype : {Dtype::f32, Dtype::bf16}) {
    Context const context{device, dtype};
    for (int64_t const side : {28, 32, 33, 64}) {
      ImageShape const image{side, side, side == 28 ? 1 : 3};
      auto const conv = make_trunk(context, ConvTrunk{.width = 4, .kernel = 3, .stride = 2}, image);
      int64_t const half = (side + 1) / 2, eighth = (side + 7) / 8;
      CHECK(conv->features() == half * half * 4);
      auto const small = make_trunk(context, SmallTrunk{.width = 4, .features = 17}, image);
      CHECK(small->features() == 17);
      for (auto const* p : layers::parameters(*small))
        if (p->name == "fc.weight") CHECK(p->value.shape() == Shape{17, eighth * eighth * 32});
      for (int64_t const rows : {0, 3}) {
        check_pass(*conv, context, image, rows);
        check_pass(*small, context, image, rows);
      }
    }
  }
}

TEST_CASE("conv trunk: stride 1, any image size -> output has the image's size") {
  core::Device& device = tests::device();
  Context const context{device};
  for (int64_t const kernel : {1, 3, 5}) {
    ImageShape const image{5, 8, 2};
    auto const trunk = make_trunk(context, ConvTrunk{.width = 3, .kernel = kernel}, image);
    CHECK(trunk->features() == 5 * 8 * 3);
    check_pass(*trunk, context, image, 2);
  }
  // The example network of the forum: 28 × 28, 32 channels, 3 × 3.
  CHECK(make_trunk(context, ConvTrunk{}, {28, 28, 1})->features() == 28 * 28 * 32);
}

TEST_CASE("trunks: non-square images, deeper trunks -> correct shapes") {
  core::Device& device = tests::device();
  Context const context{device};
  ImageShape const image{28, 41, 2};
  auto const trunk = make_trunk(context, SmallTrunk{.width = 2, .depth = 2, .features = 5}, image);
  check_pass(*trunk, context, image, 2);
}

TEST_CASE("trunks: parameter names -> unique, those of residual networks") {
  core::Device& device = tests::device();
  Context const context{device};
  auto const trunk = make_trunk(context, SmallTrunk{.depth = 3}, {32, 32, 3});
  std::set<std::string> names;
  auto const all = layers::parameters(*trunk);
  for (auto const* p : all) names.insert(p->name);
  CHECK(names.size() == all.size());
  for (auto const* name :
       {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight", "layer1.0.downsample.0.weight",
        "layer3.2.bn2.bias", "fc.weight", "features.running_mean"})
    CHECK(names.count(name) == 1);
  CHECK(names.count("layer1.1.downsample.0.weight") == 0);
  auto const conv = make_trunk(context, ConvTrunk{}, {32, 32, 3});
  REQUIRE(layers::parameters(*conv).size() == 2);
  CHECK(layers::parameters(*conv)[1]->name == "conv.bias");
}

TEST_CASE("trunks: initial weights -> depend only on seed and name") {
  core::Device& device = tests::device();
  auto const weights = [&](uint64_t seed, SmallTrunk const& options) {
    auto const trunk = make_trunk({device, Dtype::f32, seed}, options, {32, 32, 3});
    std::map<std::string, std::vector<double>> all;
    for (auto const* p : layers::parameters(*trunk)) all[p->name] = values(p->value);
    return all;
  };
  auto const one = weights(1, {.width = 4}), deep = weights(1, {.width = 4, .depth = 2});
  CHECK(one == weights(1, {.width = 4}));
  for (auto const& [name, numbers] : one) CHECK(deep.at(name) == numbers);
  auto const other = weights(2, {.width = 4});
  std::set<double> firsts;
  for (auto const& [name, numbers] : one) {
    if (name.find("conv") == std::string::npos && name.find("fc") == std::string::npos) continue;
    CHECK(other.at(name) != numbers);
    firsts.insert(numbers[0] / std::abs(numbers[1]));
  }
  CHECK(firsts.size() == 8);  // conv1, three blocks of two, fc: all different
}

TEST_CASE("trunks: backward -> gradients match central differences") {
  core::Device& device = tests::device();
  Context const context{device, Dtype::f64};
  ImageShape const image{8, 9, 2};
  auto const x =
      tests::random(device, {4, image.height, image.width, image.channels}, Dtype::f64, 1);
  auto const check = [&](Trunk& trunk) {
    tests::gradient_holds(
        device, x, [&](core::Tape& tape, core::Var const& v) { return trunk.forward(tape, v); },
        1e-6, 1e-6);
    tests::parameter_gradients_hold(
        device, layers::parameters(trunk),
        [&](core::Tape& tape) { return trunk.forward(tape, core::Tape::constant(x)); }, 1e-6, 1e-6);
  };
  check(*make_trunk(context, ConvTrunk{.width = 3, .kernel = 3, .stride = 2}, image));
  check(*make_trunk(context, SmallTrunk{.width = 2, .features = 3, .dropout = 0.2}, image));
}

TEST_CASE("trunks: inference -> output of an image independent of the rest of the batch") {
  core::Device& device = tests::device();
  Context const context{device};
  auto const trunk = make_trunk(context, SmallTrunk{.width = 4, .dropout = 0.5}, {28, 28, 1});
  auto const x = tests::random(device, {5, 28, 28, 1}, Dtype::f32, 1);
  auto const infer = [&](Tensor const& images) {
    core::Tape tape(core::Mode::inference);
    return trunk->forward(tape, core::Tape::constant(images)).value;
  };
  auto const all = infer(x), some = infer(clone(x.rows(2, 4)));
  CHECK(tests::distance(some, clone(all.rows(2, 4))) < tests::f32_reduction);
}
