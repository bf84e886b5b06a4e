#include <catch2/catch.hpp>
#include "tests/support/recording_device.h"
#include "tests/train/trainer/small_training.h"

using namespace train;

TEST_CASE("step: after warm-up -> no wait for the device, constant number of allocations") {
  core::cpu::Cpu inner;
  tests::RecordingDevice device(inner);
  tests::SmallTraining training(
      tests::small_experiment(
          {"run.cuda_graph=off", "data.samples=60",
           GENERATE(as<std::string>{}, "head.kind=softmax", "head.logits=recompute")}),
      device);
  for (int i = 0; i < 3; ++i) training.step();
  int64_t const waits = device.waits, before = device.allocations;
  training.step();
  int64_t const a_step = device.allocations - before;
  for (int i = 0; i < 5; ++i) training.step();
  CHECK(device.waits == waits);
  CHECK(device.allocations == before + 6 * a_step);
}

TEST_CASE("step graph: captured and replayed steps -> bitwise identical training") {
  core::cpu::Cpu inner;
  tests::RecordingDevice device(inner);
  tests::SmallTraining replayed(tests::small_experiment(), device),
      plain(tests::small_experiment({"run.cuda_graph=off"}), inner);
  for (int step = 0; step < 20; ++step) {
    INFO("step " << step);
    CHECK(tests::values(replayed.step()) == tests::values(plain.step()));
  }
  CHECK(replayed.state() == plain.state());
  CHECK(device.recordings == 1);
  // Of 20 steps, 3 have the small batch and 3 are warm-up.
  CHECK(device.replays == 14);
}

TEST_CASE("step graph: dropout, profiling or an eager device -> not captured") {
  core::cpu::Cpu inner;
  tests::RecordingDevice device(inner);
  CHECK(why_not_captured(tests::small_experiment(), device).empty());
  CHECK_THAT(why_not_captured(tests::small_experiment({"model.dropout=0.1"}), device),
             Catch::Contains("dropout"));
  CHECK_THAT(why_not_captured(tests::small_experiment({"run.profile=true"}), device),
             Catch::Contains("profile"));
  CHECK_THAT(why_not_captured(tests::small_experiment(), inner), Catch::Contains("eagerly"));
  tests::SmallTraining training(tests::small_experiment({"model.dropout=0.1"}), device);
  for (int i = 0; i < 6; ++i) training.step();
  CHECK(device.recordings == 0);
}
