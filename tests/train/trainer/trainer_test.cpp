#include "train/trainer/trainer.h"
#include <catch2/catch.hpp>
#include "tests/support/device.h"
#include "tests/train/trainer/small_training.h"

TEST_CASE("Trainer::lr -> the learning rate of the last step", "[trainer]") {
  auto const experiment = tests::small_experiment(
      {"schedule.kind=linear", "schedule.warmup_steps=2", "optimizer.lr=0.4", "run.steps=3"});
  tests::SmallTraining training(experiment, tests::device());
  for (double const expected : {0.2, 0.4, 0.4}) {
    training.step();
    CHECK(training.trainer.lr() == Approx(expected));
  }
}
