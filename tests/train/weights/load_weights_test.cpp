#include "train/weights/load_weights.h"
#include <catch2/catch.hpp>
#include "comm/self.h"
#include "core/cpu/device.h"
#include "tests/train/checkpoint/state.h"
#include "tests/train/files.h"
#include "train/errors.h"
#include "train/weights/state_dict.h"

namespace train {
namespace {

using core::Dtype;

std::string const text =
    "run: {epochs: 1}\n"
    "data: {global_batch_size: 4, classes: 5, samples: 8, height: 6, width: 4, channels: 2}\n"
    "model: {trunk: conv, width: 3, stride: 2}\n"
    "head: {bias: true}\n";

/// A model with 3 × 2 pixels of three channels before the classifier, and a file for it.
struct Setting {
  tests::TemporaryFolder folder;
  std::string path = folder.file("w.safetensors");
  core::cpu::Cpu device{1};
  comm::Self self;

  Experiment make_experiment(std::vector<std::string> settings = {}) {
    settings.push_back("init.from=" + path);
    return parse_experiment("test", text, settings);
  }
  Model model(Experiment const& experiment) {
    return make_model(experiment, device, self, {6, 4, 2}, *experiment.data.classes);
  }

  /// Writes the tensors as T; the values of each are 0, 1, 2, ...
  template <class T>
  void write(std::vector<TensorDeclaration> tensors) {
    for (auto& tensor : tensors) tensor.dtype = core::dtype_of<T>;
    SafetensorsWriter writer(path, tensors);
    for (auto const& tensor : tensors)
      for (int64_t i = 0; i < core::count(tensor.shape); ++i) {
        auto const value = static_cast<T>(static_cast<float>(i));
        writer.append(&value, sizeof value);
      }
    writer.finish();
  }
  std::string refusal(std::vector<std::string> const& settings = {}) {
    auto const experiment = make_experiment(settings);
    auto network = model(experiment);
    return tests::thrown<ConfigError>([&] { load_weights(experiment, network); });
  }
};

std::vector<TensorDeclaration> const trunk{{"conv.weight", Dtype::f32, {3, 2, 3, 3}},
                                           {"conv.bias", Dtype::f32, {3}}};

std::vector<TensorDeclaration> with(std::vector<TensorDeclaration> const& more) {
  auto all = trunk;
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

auto const whole = with({{"fc.weight", Dtype::f32, {5, 18}}, {"fc.bias", Dtype::f32, {5}}});

std::vector<float> numbers(core::Tensor const& tensor) {
  std::vector<float> all(static_cast<size_t>(tensor.count()));
  tensor.device().download(tensor, all.data());
  return all;
}

std::vector<float> bias_of(Model const& model) {
  for (auto const& [name, tensor] : model.head->state())
    if (name == "head.bias") return numbers(tensor);
  return {};
}

TEST_CASE("load_weights: f32, f64 or bf16 file -> weights in channels-last order",
          "[load_weights]") {
  Setting s;
  SECTION("f32") { s.write<float>(whole); }
  SECTION("f64") { s.write<double>(whole); }
  SECTION("bf16") { s.write<core::bf16>(whole); }
  auto const experiment = s.make_experiment({"precision=f32"});
  auto model = s.model(experiment);
  CHECK(load_weights(experiment, model) ==
        "weights from " + s.path + ": the trunk and the classifier");
  auto const all = layers::parameters(*model.trunk);
  // Output 1, row 2, column 0, channel 1 of the convolution: value ((1 * 2 + 1) * 3 + 2) * 3.
  CHECK(numbers(all[0]->value)[((1 * 3 + 2) * 3 + 0) * 2 + 1] == 33);
  CHECK(numbers(all[1]->value) == std::vector<float>{0, 1, 2});
  // Class 4, row 2, column 1, channel 2 of the features, which are channels-first in the file.
  auto const head = model.head->state();
  CHECK(numbers(head[0].tensor)[4 * 18 + (2 * 2 + 1) * 3 + 2] == 4 * 18 + 2 * 6 + 2 * 2 + 1);
  CHECK(bias_of(model) == std::vector<float>{0, 1, 2, 3, 4});
}

TEST_CASE("load_weights: bf16 precision -> compute copies are updated", "[load_weights]") {
  Setting s;
  s.write<float>(whole);
  auto const experiment = s.make_experiment({"precision=bf16"});
  auto model = s.model(experiment);
  load_weights(experiment, model);
  auto const& weight = *layers::parameters(*model.trunk)[0];
  REQUIRE(weight.compute.dtype() == Dtype::bf16);
  CHECK(static_cast<float>(weight.compute.data<core::bf16>()[1]) == 9);
}

TEST_CASE("load_weights: no classifier in the file or init.head: skip -> head unchanged",
          "[load_weights]") {
  Setting s;
  s.write<float>(trunk);
  auto experiment = s.make_experiment();
  auto model = s.model(experiment), untouched = s.model(experiment);
  auto const same = [&] {
    return numbers(model.head->state()[0].tensor) == numbers(untouched.head->state()[0].tensor);
  };
  CHECK(load_weights(experiment, model).ends_with("the trunk; it has no classifier"));
  CHECK(same());
  s.write<float>(with({{"fc.weight", Dtype::f32, {7, 18}}, {"fc.bias", Dtype::f32, {7}}}));
  experiment = s.make_experiment({"init.head=skip"});
  CHECK(load_weights(experiment, model).ends_with("the trunk, not the classifier"));
  CHECK(same());
  CHECK_THAT(s.refusal(), Catch::Contains("'fc.weight' is f32 (7, 18), expected f32 (5, 18)") &&
                              Catch::Contains("set init.head: skip"));
}

TEST_CASE("load_weights: file does not match -> ConfigError with every tensor", "[load_weights]") {
  Setting s;
  s.write<float>({{"conv.weight", Dtype::f32, {3, 3, 3, 2}}, {"conv1.bias", Dtype::f32, {3}}});
  CHECK(s.refusal() == "init.from: " + s.path +
                           " does not fit the model: 'conv.weight' is f32 (3, 3, 3, 2), expected "
                           "f32 (3, 2, 3, 3); 'conv.bias' is missing; 'conv1.bias' is unexpected");
  s.write<int64_t>(whole);
  CHECK_THAT(s.refusal(), Catch::Contains("'conv.bias' is i64 (3), expected f32 (3)"));
  s.write<float>(with({{"fc.weight", Dtype::f32, {5, 18}}}));
  CHECK_THAT(s.refusal(), Catch::Contains("'fc.bias' is missing"));
  s.write<float>(whole);
  CHECK_THAT(s.refusal({"head.bias=false"}), Catch::Contains("'fc.bias' is unexpected"));
}

TEST_CASE("load_weights: init.grow_classes -> the file's classes first, others unchanged",
          "[load_weights]") {
  Setting s;
  s.write<float>(with({{"fc.weight", Dtype::f32, {3, 18}}, {"fc.bias", Dtype::f32, {3}}}));
  auto const experiment = s.make_experiment({"init.grow_classes=true"});
  auto model = s.model(experiment), untouched = s.model(experiment);
  CHECK(load_weights(experiment, model).ends_with("the classifier of 3 classes; 2 are new"));
  auto const weight = numbers(model.head->state()[0].tensor);
  auto const fresh = numbers(untouched.head->state()[0].tensor);
  CHECK(weight[2 * 18 + 17] == 2 * 18 + 17);
  CHECK(std::equal(weight.begin() + 3 * 18, weight.end(), fresh.begin() + 3 * 18));
  CHECK(bias_of(model) == std::vector<float>{0, 1, 2, 0, 0});

  s.write<float>(whole);
  CHECK(load_weights(experiment, model).ends_with("the trunk and the classifier"));
  s.write<float>(trunk);
  CHECK_THAT(s.refusal({"init.grow_classes=true"}), Catch::Contains("'fc.weight' is missing"));
  s.write<float>(with({{"fc.weight", Dtype::f32, {3, 18}}, {"fc.bias", Dtype::f32, {5}}}));
  CHECK_THAT(s.refusal({"init.grow_classes=true"}),
             Catch::Contains("'fc.bias' is f32 (5), expected f32 (3)"));
}

TEST_CASE("load_weights: head.storage=bf16 -> rounded weights", "[load_weights]") {
  Setting s;
  s.write<float>(whole);
  auto const experiment = s.make_experiment({"head.storage=bf16"});
  auto model = s.model(experiment);
  load_weights(experiment, model);
  auto const weight = model.head->state()[0].tensor;
  REQUIRE(weight.dtype() == Dtype::bf16);
  CHECK(static_cast<float>(weight.data<core::bf16>()[0]) == 0);
  CHECK(static_cast<float>(weight.data<core::bf16>()[4 * 18 + 17]) == 4 * 18 + 17);
}

TEST_CASE("load_weights: num_batches_tracked -> read if present, else unchanged",
          "[load_weights]") {
  Setting s;
  auto const experiment =
      s.make_experiment({"model.trunk=small", "model.width=1", "model.stride=1"});
  auto model = s.model(experiment);
  std::vector<TensorDeclaration> all;
  for (auto const* p : layers::parameters(*model.trunk)) all.push_back(in_file(*p));
  auto const write = [&](bool counts) {
    std::erase_if(all, [&](auto const& t) { return !counts && t.dtype == Dtype::i64; });
    SafetensorsWriter writer(s.path, all);
    for (auto const& t : all) {
      std::vector<int64_t> const seven(static_cast<size_t>(core::count(t.shape)), 7);
      writer.append(seven.data(), seven.size() * core::size_of(t.dtype));
    }
    writer.finish();
  };
  auto const count = [&] {
    for (auto const* p : layers::parameters(*model.trunk))
      if (p->name == "layer2.0.bn1.num_batches_tracked") return *p->value.data<int64_t>();
    return int64_t{-1};
  };
  write(true);
  load_weights(experiment, model);
  CHECK(count() == 7);
  write(false);
  load_weights(experiment, model);
  CHECK(count() == 7);
}

TEST_CASE("load_weights: file missing or invalid -> MissingInput or BadData", "[load_weights]") {
  Setting s;
  auto const experiment = s.make_experiment();
  auto model = s.model(experiment);
  CHECK_THROWS_AS(load_weights(experiment, model), MissingInput);
  tests::write_file(s.path, "no tensors");
  CHECK_THROWS_AS(load_weights(experiment, model), BadData);
}

}  // namespace
}  // namespace train
