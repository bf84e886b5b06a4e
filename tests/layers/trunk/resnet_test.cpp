#include <map>
#include "core/cpu/device.h"
#include "layers/trunk/block.h"
#include "layers/trunk/trunk.h"
#include "tests/support/reference.h"

using core::Dtype;
using core::ImageShape;
using core::Role;
using core::Shape;
using layers::Context;
using layers::IresnetTrunk;
using layers::make_trunk;
using layers::ResnetTrunk;
using layers::Trunk;
using tests::values;

namespace {

std::map<std::string, core::Parameter*> by_name(layers::Layer& layer) {
  std::map<std::string, core::Parameter*> all;
  for (auto* p : layers::parameters(layer)) all[p->name] = p;
  return all;
}

/// Number of tensors in the state_dict, and number of elements of those that PyTorch lists as
/// parameters.
std::pair<size_t, int64_t> size_of(Trunk& trunk) {
  int64_t numbers = 0;
  auto const all = by_name(trunk);
  CHECK(all.size() == layers::parameters(trunk).size());
  for (auto const& [name, p] : all)
    if (p->trainable() || name == "features.weight") numbers += p->value.count();
  return {all.size(), numbers};
}

/// Runs a training pass on `rows` random images, checks that every gradient is finite, and returns
/// the shape of the features.
Shape pass(Trunk& trunk, Context const& context, ImageShape const& image, int64_t rows) {
  core::Tape tape;
  auto const x = tape.input(tests::random(
      context.device, {rows, image.height, image.width, image.channels}, context.dtype, 1));
  auto const y = trunk.forward(tape, x);
  tape.backward(y, tests::random(context.device, y.value.shape(), context.dtype, 2));
  CHECK(tape.grad(x).shape() == x.value.shape());
  for (auto const* p : layers::parameters(trunk)) {
    INFO(p->name);
    CHECK(static_cast<bool>(p->grad) == p->trainable());
    if (p->grad) CHECK(std::isfinite(tests::inner(p->grad, p->grad)));
  }
  return y.value.shape();
}

}  // namespace

// Expected values: torchvision's models without `fc`, and insightface's for 112 × 112 images.
TEST_CASE("residual trunks: parameters -> same tensors as torchvision and insightface") {
  core::cpu::Cpu device;
  Context const context{device};
  auto const resnet = [&](ResnetTrunk const& o) {
    return size_of(*make_trunk(context, o, {224, 224, 3}));
  };
  CHECK(resnet(layers::resnet18) == std::pair<size_t, int64_t>(120, 11'176'512));
  CHECK(resnet(layers::resnet34) == std::pair<size_t, int64_t>(216, 21'284'672));
  CHECK(resnet(layers::resnet50) == std::pair<size_t, int64_t>(318, 23'508'032));
  auto const iresnet = [&](IresnetTrunk const& o) {
    return size_of(*make_trunk(context, o, {112, 112, 3}));
  };
  CHECK(iresnet(layers::iresnet18) == std::pair<size_t, int64_t>(187, 24'025'600));
  CHECK(iresnet(layers::iresnet34) == std::pair<size_t, int64_t>(331, 34'139'328));
  CHECK(iresnet(layers::iresnet50) == std::pair<size_t, int64_t>(475, 43'590'848));
  CHECK(iresnet(layers::iresnet100) == std::pair<size_t, int64_t>(925, 65'156'160));
}

TEST_CASE("residual trunks: initialization -> same distributions as torchvision and insightface") {
  core::cpu::Cpu device;
  Context const context{device};
  auto const stddev = [](core::Parameter const& p) {
    return std::sqrt(tests::inner(p.value, p.value) / static_cast<double>(p.value.count()));
  };
  auto const resnet = make_trunk(context, layers::resnet50, {32, 32, 3});
  auto const ours = by_name(*resnet);
  CHECK(ours.at("conv1.weight")->value.shape() == Shape{64, 7, 7, 3});
  CHECK(stddev(*ours.at("conv1.weight")) == Approx(std::sqrt(2.0 / (64 * 49))).epsilon(0.03));
  CHECK(ours.at("layer2.0.downsample.0.weight")->value.shape() == Shape{512, 1, 1, 256});
  CHECK(ours.at("layer2.0.conv2.weight")->value.shape() == Shape{128, 3, 3, 128});
  CHECK(stddev(*ours.at("layer4.2.conv3.weight")) == Approx(std::sqrt(2.0 / 2048)).epsilon(0.01));
  CHECK(ours.count("layer1.1.downsample.0.weight") == 0);

  auto const iresnet = make_trunk(context, layers::iresnet18, {112, 112, 3});
  auto const faces = by_name(*iresnet);
  CHECK(stddev(*faces.at("layer1.0.downsample.0.weight")) == Approx(0.1).epsilon(0.05));
  CHECK(stddev(*faces.at("layer4.1.conv2.weight")) == Approx(0.1).epsilon(0.01));
  CHECK(values(faces.at("layer2.1.prelu.weight")->value) == std::vector<double>(128, 0.25));
  CHECK(faces.at("fc.weight")->value.shape() == Shape{512, 7 * 7 * 512});
  CHECK(faces.at("fc.weight")->channels == 512);
  CHECK(faces.at("features.weight")->role == Role::fixed);
  CHECK(values(faces.at("features.weight")->value) == std::vector<double>(512, 1));
  CHECK(faces.at("bn2.num_batches_tracked")->value.shape() == Shape{});
}

TEST_CASE("residual trunks: any image size, empty batch -> correct shapes") {
  core::cpu::Cpu device;
  for (auto const dtype : {Dtype::f32, Dtype::bf16}) {
    Context const context{device, dtype};
    for (auto const& image : {ImageShape{1, 1, 1}, ImageShape{33, 20, 3}, ImageShape{17, 16, 3}}) {
      INFO(image.height << " x " << image.width << " in " << dtype);
      auto const basic = make_trunk(context, ResnetTrunk{.width = 4}, image);
      auto const narrow =
          make_trunk(context, ResnetTrunk{ResnetTrunk::Block::bottleneck, {1, 2, 1, 1}, 4}, image);
      auto const faces = make_trunk(context, IresnetTrunk{.width = 4, .features = 17}, image);
      CHECK(basic->features() == 32);
      CHECK(narrow->features() == 128);
      int64_t const pixels = (image.height + 15) / 16 * ((image.width + 15) / 16);
      CHECK(by_name(*faces).at("fc.weight")->value.shape() == Shape{17, pixels * 32});
      for (int64_t const rows : {0, 3}) {
        CHECK(pass(*basic, context, image, rows) == Shape{rows, 32});
        CHECK(pass(*narrow, context, image, rows) == Shape{rows, 128});
        CHECK(pass(*faces, context, image, rows) == Shape{rows, 17});
      }
    }
  }
}

TEST_CASE("residual blocks and ResNet: backward -> gradients match central differences") {
  core::cpu::Cpu device(1);
  Context const context{device, Dtype::f64};
  auto const check = [&](layers::Layer& layer, Shape const& shape) {
    auto const x = tests::random(device, shape, Dtype::f64, 1);
    // About a hundred normalizations and kinks: a step of 1e-6 stays between the kinks.
    tests::gradient_holds(
        device, x, [&](core::Tape& tape, core::Var const& v) { return layer.forward(tape, v); },
        1e-6, 1e-6);
    tests::parameter_gradients_hold(
        device, layers::parameters(layer),
        [&](core::Tape& tape) { return layer.forward(tape, core::Tape::constant(x)); }, 1e-6, 1e-6);
  };
  for (int64_t const stride : {1, 2}) {
    layers::Bottleneck narrow(context, "b", 8, 8, stride);
    layers::Bottleneck wider(context, "w", 3, 8, stride);
    layers::IresnetBlock faces(context, "i", 3, 3, stride);
    layers::IresnetBlock more(context, "m", 3, 5, stride);
    check(narrow, {2, 5, 4, 8});
    check(wider, {2, 5, 4, 3});
    check(faces, {2, 5, 4, 3});
    check(more, {2, 5, 4, 3});
  }
  ImageShape const image{9, 34, 2};
  check(*make_trunk(context, ResnetTrunk{.stages = {1, 1, 1, 1}, .width = 2}, image),
        {3, 9, 34, 2});
}

TEST_CASE("IResNet: backward -> gradients match central differences") {
  core::cpu::Cpu device(1);
  ImageShape const image{9, 34, 2};
  IresnetTrunk const shape{.stages = {1, 1, 1, 1}, .width = 2, .features = 3};
  auto const trunk = make_trunk({device, Dtype::f64}, shape, image);
  auto const x = tests::random(device, {3, 9, 34, 2}, Dtype::f64, 1),
             dy = tests::random(device, {3, 3}, Dtype::f64, 7);
  core::Tape tape;
  tape.backward(trunk->forward(tape, core::Tape::constant(x)), dy);
  auto const loss = [&] {
    core::Tape forward;
    return tests::inner(trunk->forward(forward, core::Tape::constant(x)).value, dy);
  };
  // Checked together: the gradient of a bias before a batch norm is only a rounding error.
  std::vector<double> gradients, expected;
  for (auto* p : layers::parameters(*trunk)) {
    if (!p->trainable()) continue;
    int64_t const every = p->value.count() / 50 + 1;
    auto const grad = values(p->grad), slope = tests::slopes(p->value, loss, every, 1e-6);
    for (size_t i = 0; i < grad.size(); i += static_cast<size_t>(every))
      gradients.push_back(grad[i]);
    expected.insert(expected.end(), slope.begin(), slope.end());
  }
  CHECK(gradients.size() > 500);
  CHECK(tests::distance(gradients, expected) < 1e-6);
}

TEST_CASE("batch norm: fixed gain -> applied, receives no gradient") {
  core::cpu::Cpu device;
  layers::BatchNorm trained({device}, "bn", 3),
      fixed({device}, "bn", 3, core::Activation::none, layers::Gain::fixed);
  auto const x = tests::random(device, {7, 3}, Dtype::f32, 1);
  auto const run = [&](layers::BatchNorm& layer) {
    auto gain = tests::tensor<float>(device, {3}, {0.5, 2, 3});
    device.copy(gain, layers::parameters(layer)[0]->value);
    core::Tape tape;
    auto const in = tape.input(x);
    auto const y = layer.forward(tape, in);
    tape.backward(y, tests::random(device, {7, 3}, Dtype::f32, 2));
    return std::pair(values(y.value), values(tape.grad(in)));
  };
  CHECK(run(trained) == run(fixed));
  CHECK(layers::parameters(trained)[0]->grad);
  CHECK_FALSE(layers::parameters(fixed)[0]->grad);
  CHECK(layers::parameters(fixed)[1]->grad);
}
