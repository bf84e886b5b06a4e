// Compares training on the device under test with training on the CPU.
#include "tests/support/device.h"
#include "tests/train/files.h"
#include "tests/train/trainer/small_training.h"
#include "train/checkpoint/checkpoint.h"

using tests::SmallTraining;

namespace {

void save(SmallTraining& training, std::filesystem::path const& folder, int64_t step) {
  train::Checkpoints(folder, training.ranks, 1)
      .save(training.trainer.snapshot(training.task.classes), {step, 0, step});
}

void load(SmallTraining& training, std::filesystem::path const& folder, int64_t step) {
  auto snapshot = training.trainer.snapshot(training.task.classes);
  auto const at = train::Checkpoints(folder, training.ranks, 1).load(snapshot, [](auto const&) {});
  REQUIRE(at == train::Position{step, 0, step});
  training.trainer.restored(step);
}

}  // namespace

TEST_CASE("training: device under test in f32 -> losses and state of the CPU", "[devices]") {
  auto const experiment = tests::small_experiment({"optimizer.lr=1.0e-3"});
  SmallTraining here(experiment, tests::host()), there(experiment, tests::device());
  for (int step = 0; step < 12; ++step) {
    INFO("step " << step);
    double const expected = tests::values(here.step())[0];
    // At this learning rate training amplifies rounding errors only slightly: docs/numerics.md.
    CHECK(tests::values(there.step())[0] == Approx(expected).epsilon(1e-5));
  }
  CHECK(tests::distance(there.state(), here.state()) < 1e-4);
}

TEST_CASE("training: device under test in bf16 -> losses of the CPU in f32, within bf16 rounding",
          "[devices]") {
  if (!tests::can_multiply(tests::device(), core::Dtype::bf16)) return;
  auto const settings = {"optimizer.lr=1.0e-3"};
  SmallTraining here(tests::small_experiment({settings.begin(), settings.end()}), tests::host());
  auto experiment = here.experiment;
  experiment.precision = train::Precision::bf16;
  SmallTraining there(experiment, tests::device());
  for (int step = 0; step < 12; ++step) {
    INFO("step " << step);
    double const expected = tests::values(here.step())[0];
    CHECK(tests::values(there.step())[0] == Approx(expected).epsilon(tests::bf16_rounding));
  }
}

TEST_CASE("checkpoint: saved on one device, loaded on the other -> bitwise identical state",
          "[devices]") {
  auto const experiment = tests::small_experiment();
  tests::TemporaryFolder const folder;
  SmallTraining cpu(experiment, tests::host());
  for (int step = 0; step < 3; ++step) cpu.step();
  save(cpu, folder.path() / "a", 3);

  SmallTraining device(experiment, tests::device());
  load(device, folder.path() / "a", 3);
  CHECK(device.state() == cpu.state());
  for (int step = 0; step < 3; ++step) device.step();
  save(device, folder.path() / "b", 6);

  SmallTraining back(experiment, tests::host());
  load(back, folder.path() / "b", 6);
  CHECK(back.state() == device.state());
}
