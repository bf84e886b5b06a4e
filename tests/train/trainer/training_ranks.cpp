#include <catch2/catch.hpp>
#include "comm/self.h"
#include "tests/support/ranks.h"
#include "tests/support/reference.h"
#include "tests/train/files.h"
#include "train/checkpoint/on_all_ranks.h"
#include "train/trainer/trainer.h"

using namespace train;

namespace {

/// 37 classes of random 16 × 16 images; 5 batches of 12 and one of 4 per epoch. 2, 3 and 4 ranks do
/// not divide the classes, and with 4 ranks one batch has a single row per rank.
Experiment make_experiment() {
  return parse_experiment("test", R"(
precision: f32
run: {steps: 15}
data:
  {kind: synthetic, classes: 37, samples: 64, global_batch_size: 12,
   height: 16, width: 16, channels: 1}
model: {trunk: small, width: 8, features: 24, batch_norm: sync, dropout: 0.1}
optimizer: {lr: 0.05, momentum: 0.9, weight_decay: 1.0e-3}
schedule: {kind: cosine, warmup_steps: 3}
)");
}

/// A model with its trainer and data, without a run folder.
struct Training {
  Training(Experiment const& experiment, comm::Communicator& ranks_in, Position const& at = {})
      : ranks(ranks_in),
        task(open_task(experiment.data, experiment.seed)),
        model(
            make_model(experiment, tests::device(), ranks, task.train.data->shape(), task.classes)),
        trainer(experiment, tests::device(), ranks, model, experiment.run.steps),
        config(experiment.data),
        seed(experiment.seed) {
    start(at);
  }

  void start(Position const& at) {
    loader = std::make_unique<Loader>(tests::host(), task.train, config, seed, Pass::training,
                                      ranks.rank(), ranks.size(), at.epoch, at.batch);
    position = at;
  }

  double step() {
    Batch batch;
    loader->next(batch);
    return step(batch);
  }

  double step(Batch const& batch) {
    double const loss = tests::value(trainer.step(batch));
    bool const epoch_ends = batch.index + 1 == loader->batches_per_epoch();
    position = {position.step + 1, batch.epoch + epoch_ends, epoch_ends ? 0 : batch.index + 1};
    return loss;
  }

  /// Runs a step in which the first image of rank 0 has a NaN pixel.
  void poisoned_step() {
    Batch batch;
    loader->next(batch);
    if (ranks.rank() == 0) batch.images.data<float>()[0] = NAN;
    CHECK(std::isnan(step(batch)));
  }

  comm::Communicator& ranks;
  Task task;
  Model model;
  Trainer trainer;
  DataConfig config;
  uint64_t seed;
  std::unique_ptr<Loader> loader;
  Position position;
};

void check_equal(std::vector<NamedTensor> const& a, std::vector<NamedTensor> const& b) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    INFO(a[i].name);
    CHECK(a[i].name == b[i].name);
    CHECK(tests::bytes(a[i].tensor) == tests::bytes(b[i].tensor));
  }
}

std::vector<NamedTensor> copies(Snapshot const& snapshot) {
  std::vector<NamedTensor> all;
  for (auto const* tensors : {&snapshot.trunk, &snapshot.head})
    for (auto const& [name, tensor] : *tensors) all.push_back({name, clone(tensor)});
  return all;
}

}  // namespace

TEST_CASE("training: any number of ranks -> losses of one rank", "[ranks][training]") {
  auto const experiment = make_experiment();
  comm::Self self;
  Training alone(experiment, self), together(experiment, tests::world());
  for (int step = 0; step < 15; ++step) {
    double const expected = alone.step();
    INFO("step " << step);
    // Training magnifies rounding (docs/numerics.md): where a processor rounds the products of a
    // rank's rows differently, an activation changes its sign later; with AVX2, in step 11.
    CHECK(together.step() == Approx(expected).epsilon(step < 10 ? 1e-5 : 1e-3));
  }
}

TEST_CASE("training: interrupted and resumed -> bitwise identical to uninterrupted",
          "[ranks][training]") {
  auto const norm = GENERATE(as<std::string>{}, "local", "sync");
  auto experiment = make_experiment();
  experiment.model.batch_norm = norm == "sync" ? BatchNormKind::sync : BatchNormKind::local;
  // All ranks use rank 0's folder; they run on one host.
  tests::TemporaryFolder const mine;
  auto const folder = gather_texts(tests::world(), tests::device(), mine.path().string())[0];

  Training whole(experiment, tests::world());
  for (int step = 0; step < 15; ++step) whole.step();
  Training first(experiment, tests::world());
  for (int step = 0; step < 8; ++step) first.step();
  Checkpoints checkpoints(folder, tests::world(), 1);
  checkpoints.save(first.trainer.snapshot(first.task.classes), first.position);

  Training second(experiment, tests::world());
  auto state = second.trainer.snapshot(second.task.classes);
  auto const at = checkpoints.load(state, [](std::string const&) {});
  REQUIRE(at == Position{8, 1, 2});
  second.trainer.restored(at->step);
  second.start(*at);
  for (int step = 8; step < 15; ++step) second.step();

  auto const expected = whole.trainer.snapshot(37), resumed = second.trainer.snapshot(37);
  check_equal(resumed.trunk, expected.trunk);
  check_equal(resumed.head, expected.head);
  tests::world().barrier();
}

TEST_CASE("training: image with NaN -> step skipped, all state stays finite", "[ranks][training]") {
  auto experiment = make_experiment();
  experiment.model.batch_norm = GENERATE(BatchNormKind::local, BatchNormKind::sync);
  Training training(experiment, tests::world());
  training.step();
  auto const before = copies(training.trainer.snapshot(37));
  training.poisoned_step();
  auto const after = copies(training.trainer.snapshot(37));
  for (size_t i = 0; i < before.size(); ++i) {
    INFO(before[i].name);
    // With local batch norm, ranks with finite images update their running statistics.
    if (before[i].name.find("running") == std::string::npos)
      CHECK(tests::bytes(after[i].tensor) == tests::bytes(before[i].tensor));
    for (double const value : tests::values(after[i].tensor)) CHECK(std::isfinite(value));
  }
  CHECK(std::isfinite(training.step()));
}

TEST_CASE("training: local batch norm -> same running statistics on every rank after a step",
          "[ranks][training]") {
  auto experiment = make_experiment();
  experiment.model.batch_norm = BatchNormKind::local;
  Training training(experiment, tests::world());
  training.step();
  for (auto& [name, tensor] : training.trainer.snapshot(37).trunk) {
    INFO(name);
    core::Tensor top = clone(tensor);
    tests::world().all_reduce(top, comm::Reduce::max)->wait();
    CHECK(tests::bytes(top) == tests::bytes(tensor));
  }
}
