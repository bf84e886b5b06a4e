#include <sstream>
#include "comm/self.h"
#include "tests/train/checkpoint/state.h"
#include "tests/train/shared_folder.h"
#include "train/errors.h"
#include "train/trainer/run.h"
#include "train/weights/export.h"
#include "train/weights/load_weights.h"
#include "train/weights/state_dict_reader.h"

using namespace train;

namespace {

/// Experiment with 11 classes, which the numbers of ranks do not divide, and images of 3 channels.
Experiment make_experiment(std::string const& out, std::vector<std::string> settings = {}) {
  settings.push_back("run.out=" + out);
  return parse_experiment("test", R"(
precision: f32
run: {steps: 2}
data:
  {kind: synthetic, classes: 11, samples: 12, global_batch_size: 6,
   height: 18, width: 20, channels: 3}
model: {trunk: small, width: 2, features: 9, batch_norm: sync}
head: {bias: true}
checkpoint: {initial: true}
)",
                          settings);
}

/// Trains on `ranks`, exports the checkpoint of `step` on rank 0 and returns the file's bytes.
std::string exported(Experiment const& experiment, comm::Communicator& ranks, int64_t step) {
  std::ostringstream log;
  train::train(experiment, Existing::overwrite, tests::device(), ranks, {log});
  ranks.barrier();
  auto const to = experiment.run.out + "/weights.safetensors";
  if (ranks.rank() == 0) export_weights(experiment, {to, step}, log);
  ranks.barrier();
  return tests::read_file(to);
}

}  // namespace

TEST_CASE("export: any number of ranks -> identical file, and init.from reads it back", "[ranks]") {
  auto const settings = GENERATE(
      std::vector<std::string>{}, std::vector<std::string>{"head.kind=row_parallel"},
      std::vector<std::string>{"model.trunk=conv", "model.width=2", "model.stride=9",
                               "model.features=auto"},
      std::vector<std::string>{"head.storage=bf16"}, std::vector<std::string>{"head.shards=1"});
  tests::SharedFolder shared;
  comm::Self self;
  auto const alone =
      make_experiment(shared.path / core::join("alone", tests::world().rank()), settings);
  auto const together = make_experiment(shared.path / "together", settings);
  auto const initial = exported(alone, self, 0);
  CHECK(exported(together, tests::world(), 0) == initial);
  CHECK(initial.size() > 1000);

  // Trained weights, which differ from the initial ones, are restored bit for bit on all ranks.
  // A GPU's algorithms are chosen by time, so ranks differ: the weights are those of rank 0.
  CHECK(exported(alone, self, 2) != initial);
  tests::world().barrier();
  auto const file = (shared.path / "alone0" / "weights.safetensors").string();
  auto const trained = tests::read_file(file);
  auto const from = "init.from=" + file;
  auto again = settings;
  again.push_back(from);
  auto const first = exported(make_experiment(shared.path / "again", again), tests::world(), 0);
  CHECK(first == trained);
}

TEST_CASE("init.from: file does not match the model -> ConfigError on every rank", "[ranks]") {
  tests::SharedFolder shared;
  comm::Self self;
  auto const source = make_experiment(shared.path / core::join("source", tests::world().rank()));
  exported(source, self, 2);
  auto const from = "init.from=" + source.run.out + "/weights.safetensors";
  auto const refused = [&](std::vector<std::string> settings) {
    settings.push_back(from);
    auto const experiment = make_experiment("unused", settings);
    auto const task = open_task(experiment.data, experiment.seed);
    auto model = make_model(experiment, tests::device(), tests::world(), task.train.data->shape(),
                            task.classes);
    return tests::thrown<ConfigError>([&] { load_weights(experiment, model); });
  };
  auto const classes = refused({"data.classes=13"});
  CHECK_THAT(classes, Catch::Contains(source.run.out + "/weights.safetensors does not fit"));
  CHECK_THAT(classes, Catch::Contains("'weight' is f32 (11, 9), expected f32 (13, 9)"));
  CHECK_THAT(classes, Catch::Contains("'bias' is f32 (11), expected f32 (13)"));
  CHECK_THAT(classes, Catch::Contains("init.head: skip"));
  CHECK_THAT(classes, Catch::Contains("init.grow_classes: true"));
  auto const fewer = refused({"data.classes=10", "init.grow_classes=true"});
  CHECK_THAT(fewer, Catch::Contains("'weight' is f32 (11, 9), expected f32 (10, 9)"));
  CHECK_THAT(fewer, Catch::Contains("can only add classes"));
  CHECK_THAT(refused({"data.classes=10"}), !Catch::Contains("init.grow_classes"));
  CHECK_THAT(refused({"head.bias=false"}), Catch::Contains("'bias' is unexpected"));
  CHECK_THAT(refused({"model.depth=2"}), Catch::Contains("'layer1.1.conv1.weight' is missing"));
  CHECK_THAT(refused({"model.trunk=conv", "model.features=auto"}), Catch::Contains("more"));
}

TEST_CASE("export: head_shards = n -> the same tensors as in one file", "[ranks]") {
  auto const settings =
      GENERATE(std::vector<std::string>{}, std::vector<std::string>{"head.kind=row_parallel"},
               std::vector<std::string>{"head.storage=bf16", "head.shards=1"});
  auto const shards = GENERATE(4, 11);
  tests::SharedFolder shared;
  auto const experiment = make_experiment(shared.path / "run", settings);
  auto const whole = exported(experiment, tests::world(), 2);
  auto const to = experiment.run.out + "/parts.safetensors", index = to + ".index.json";
  std::ostringstream log;
  if (tests::world().rank() == 0) export_weights(experiment, {to, 2, shards}, log);
  tests::world().barrier();
  StateDictReader const one(experiment.run.out + "/weights.safetensors"), several(index);
  REQUIRE(several.tensors().size() == one.tensors().size());
  for (auto const& [name, tensor] : one.tensors()) {
    INFO(name);
    REQUIRE(several.contains(name));
    CHECK(several.tensors().at(name).shape == tensor.shape);
    if (tensor.dtype == core::Dtype::i64) continue;
    auto const count = core::count(tensor.shape);
    CHECK(several.floats(name, 0, count) == one.floats(name, 0, count));
  }
  CHECK(SafetensorsReader(to).contains("fc.weight"));  // a layer of the trunk
  CHECK_FALSE(SafetensorsReader(to).contains("weight"));

  auto again = settings;
  again.push_back("init.from=" + index);
  CHECK(exported(make_experiment(shared.path / "again", again), tests::world(), 0) == whole);
}

TEST_CASE("export: more shards than classes -> ConfigError; one file -> old index is removed",
          "[ranks]") {
  if (tests::world().rank() != 0) return;
  tests::TemporaryFolder folder;
  comm::Self self;
  auto const experiment = make_experiment(folder.file("run"));
  std::ostringstream log;
  train::train(experiment, Existing::refuse, tests::device(), self, {log});
  auto const to = folder.file("w.safetensors"), index = to + ".index.json";
  auto const why = tests::thrown<ConfigError>([&] {
    export_weights(experiment, {to, {}, 12}, log);
  });
  CHECK_THAT(why, Catch::Contains("--head-shards: 12, but there are 11 classes"));
  export_weights(experiment, {to, {}, 2}, log);
  CHECK(tests::read_file(index).find("w-00002-of-00002.safetensors") != std::string::npos);
  export_weights(experiment, {to, {}}, log);
  CHECK_FALSE(std::filesystem::exists(index));  // it listed the previous files
}

namespace {

/// Values of classes [begin, end) of the exported tensor `name`.
std::vector<float> classes_of(std::string const& folder, std::string const& name, int64_t begin,
                              int64_t end) {
  StateDictReader const file(folder + "/weights.safetensors");
  auto const& shape = file.tensors().at(name).shape;
  int64_t const row = core::count(shape) / shape[0];
  return file.floats(name, begin * row, (end - begin) * row);
}

}  // namespace

TEST_CASE("init.grow_classes: more classes than the file -> the same on any number of ranks",
          "[ranks]") {
  auto const settings = GENERATE(
      std::vector<std::string>{}, std::vector<std::string>{"head.kind=row_parallel"},
      std::vector<std::string>{"head.storage=bf16"}, std::vector<std::string>{"head.shards=1"});
  auto const classes = GENERATE(12, 43);  // with 43, some ranks hold only new classes
  tests::SharedFolder shared;
  comm::Self self;
  auto const with = [&](std::string const& name, std::vector<std::string> const& more) {
    auto all = settings;
    all.insert(all.end(), more.begin(), more.end());
    return make_experiment(shared.path / name, all);
  };
  auto const mine = [](char const* name) { return core::join(name, tests::world().rank()); };
  auto const known = with("known", {}),
             fresh = with(mine("fresh"), {core::join("data.classes=", classes)});
  exported(known, tests::world(), 2);
  exported(fresh, self, 0);
  std::vector<std::string> const grow{core::join("data.classes=", classes),
                                      "init.grow_classes=true",
                                      "init.from=" + known.run.out + "/weights.safetensors"};
  auto const grown = with("grown", grow);
  auto const bytes = exported(grown, tests::world(), 0);
  CHECK(exported(with(mine("alone"), grow), self, 0) == bytes);
  for (auto const* name : {"weight", "bias"}) {
    INFO(name);
    CHECK(classes_of(grown.run.out, name, 0, 11) == classes_of(known.run.out, name, 0, 11));
    CHECK(classes_of(grown.run.out, name, 11, classes) ==
          classes_of(fresh.run.out, name, 11, classes));
  }
  CHECK(classes_of(known.run.out, "weight", 0, 11) != classes_of(fresh.run.out, "weight", 0, 11));
}
