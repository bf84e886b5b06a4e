#include <sstream>
#include "comm/self.h"
#include "tests/train/checkpoint_state.h"
#include "tests/train/shared_folder.h"
#include "train/export.h"
#include "train/load_weights.h"
#include "train/training.h"

using namespace train;

namespace {

/// 11 classes, which do not divide by the ranks; an image whose channels are flattened.
Experiment experiment(std::string const& out, std::vector<std::string> settings = {}) {
  settings.push_back("run.out=" + out);
  return parse_experiment("test", R"(
precision: f32
run: {steps: 2}
data: {kind: synthetic, classes: 11, samples: 12, batch: 6, height: 18, width: 20, channels: 3}
model: {trunk: small, width: 2, features: 9, batch_norm: sync}
head: {bias: true}
checkpoint: {initial: true}
)",
                          settings);
}

/// Trains on the ranks given and exports the checkpoint of `step` on the first; the file's bytes.
std::string exported(Experiment const& e, comm::Communicator& ranks, int64_t step) {
  std::ostringstream log;
  run_training(e, Existing::overwrite, tests::device(), ranks, log);
  ranks.barrier();
  auto const to = e.run.out + "/weights.safetensors";
  if (ranks.rank() == 0) export_command(e, {to, step}, log);
  ranks.barrier();
  return tests::read_file(to);
}

}  // namespace

TEST_CASE("export: the file does not depend on the number of ranks, and is read back whole",
          "[ranks]") {
  auto const settings =
      GENERATE(std::vector<std::string>{}, std::vector<std::string>{"head.kind=row_parallel"},
               std::vector<std::string>{"model.trunk=conv", "model.width=2", "model.stride=9",
                                        "model.features=0"});
  tests::SharedFolder shared;
  comm::Self self;
  auto const alone = experiment(shared.path / core::join("alone", tests::world().rank()), settings);
  auto const together = experiment(shared.path / "together", settings);
  auto const initial = exported(alone, self, 0);
  CHECK(exported(together, tests::world(), 0) == initial);
  CHECK(initial.size() > 1000);

  // Trained weights, other than those the seed gives, come back bit for bit on all ranks.
  auto const trained = exported(alone, self, 2);
  CHECK(trained != initial);
  auto const from = "init.from=" + alone.run.out + "/weights.safetensors";
  auto again = settings;
  again.push_back(from);
  auto const first = exported(experiment(shared.path / "again", again), tests::world(), 0);
  CHECK(first == trained);
}

TEST_CASE("init.from: what does not fit is refused on every rank", "[ranks]") {
  tests::SharedFolder shared;
  comm::Self self;
  auto const source = experiment(shared.path / core::join("source", tests::world().rank()));
  exported(source, self, 2);
  auto const from = "init.from=" + source.run.out + "/weights.safetensors";
  auto const refused = [&](std::vector<std::string> settings) {
    settings.push_back(from);
    auto const e = experiment("unused", settings);
    auto const task = open_task(e.data, e.seed);
    auto model =
        make_model(e, tests::device(), tests::world(), task.train.data->shape(), task.classes);
    return tests::thrown<ConfigError>([&] { load_weights(e, model, tests::world()); });
  };
  auto const classes = refused({"data.classes=13"});
  CHECK_THAT(classes, Catch::Contains(source.run.out + "/weights.safetensors does not fit"));
  CHECK_THAT(classes, Catch::Contains("'weight' is f32 (11, 9), expected f32 (13, 9)"));
  CHECK_THAT(classes, Catch::Contains("'bias' is f32 (11), expected f32 (13)"));
  CHECK_THAT(classes, Catch::Contains("init.head: skip"));
  CHECK_THAT(refused({"head.bias=false"}), Catch::Contains("'bias' is unknown"));
  CHECK_THAT(refused({"model.depth=2"}), Catch::Contains("'layer1.1.conv1.weight' is missing"));
  CHECK_THAT(refused({"model.trunk=conv", "model.features=0"}), Catch::Contains("more"));
}
