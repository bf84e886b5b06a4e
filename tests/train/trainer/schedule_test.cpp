#include "train/trainer/schedule.h"
#include <catch2/catch.hpp>

namespace train {
namespace {

using Catch::Detail::Approx;

Approx close(double value) { return Approx(value).epsilon(1e-12).margin(1e-15); }

TEST_CASE("lr_at: constant -> the peak at every step", "[schedule]") {
  CHECK(lr_at({}, 0.4, 0, 10) == 0.4);
  CHECK(lr_at({}, 0.4, 9, 10) == 0.4);
  CHECK(lr_at({}, 0.4, 1'000'000, 10) == 0.4);
}

TEST_CASE("lr_at: warm-up -> linear, peak at its last step", "[schedule]") {
  ScheduleConfig const schedule{.kind = Schedule::cosine, .warmup_steps = 4, .milestones = {}};
  CHECK(lr_at(schedule, 0.8, 0, 12) == close(0.2));
  CHECK(lr_at(schedule, 0.8, 1, 12) == close(0.4));
  CHECK(lr_at(schedule, 0.8, 3, 12) == close(0.8));
  CHECK(lr_at(schedule, 0.8, 4, 12) == close(0.8));
  CHECK(lr_at(schedule, 0.8, 8, 12) == close(0.4));
}

TEST_CASE("lr_at: cosine -> from the peak to final_lr", "[schedule]") {
  ScheduleConfig const schedule{.kind = Schedule::cosine, .final_lr = 0.2, .milestones = {}};
  CHECK(lr_at(schedule, 2, 0, 6) == close(2));
  CHECK(lr_at(schedule, 2, 2, 6) == close(2 * (0.1 + 0.9 * 0.75)));
  CHECK(lr_at(schedule, 2, 3, 6) == close(2 * 0.55));
  CHECK(lr_at(schedule, 2, 6, 6) == close(0.2));
  CHECK(lr_at(schedule, 2, 7, 6) == close(0.2));
}

TEST_CASE("lr_at: linear -> from the peak to final_lr", "[schedule]") {
  ScheduleConfig const schedule{
      .kind = Schedule::linear, .warmup_steps = 2, .final_lr = 0.5, .milestones = {}};
  CHECK(lr_at(schedule, 1, 2, 10) == close(1));
  CHECK(lr_at(schedule, 1, 4, 10) == close(0.875));
  CHECK(lr_at(schedule, 1, 10, 10) == close(0.5));
}

TEST_CASE("lr_at: polynomial -> (1 - progress)^power", "[schedule]") {
  ScheduleConfig const schedule{.kind = Schedule::polynomial, .power = 3, .milestones = {}};
  CHECK(lr_at(schedule, 1, 0, 10) == close(1));
  CHECK(lr_at(schedule, 1, 5, 10) == close(0.125));
  CHECK(lr_at(schedule, 1, 10, 10) == close(0));
}

TEST_CASE("lr_at: step -> multiplied by gamma at each milestone", "[schedule]") {
  ScheduleConfig const schedule{.kind = Schedule::step, .milestones = {3, 6}, .gamma = 0.5};
  CHECK(lr_at(schedule, 8, 2, 10) == close(8));
  CHECK(lr_at(schedule, 8, 3, 10) == close(4));
  CHECK(lr_at(schedule, 8, 5, 10) == close(4));
  CHECK(lr_at(schedule, 8, 6, 10) == close(2));
}

TEST_CASE("lr_at: warm-up as long as the run or longer -> linear", "[schedule]") {
  ScheduleConfig const schedule{.kind = Schedule::cosine, .warmup_steps = 10, .milestones = {}};
  CHECK(lr_at(schedule, 1, 4, 5) == close(0.5));
  CHECK(lr_at(schedule, 1, 9, 10) == close(1));
  CHECK(lr_at(schedule, 1, 10, 10) == close(1));
}

}  // namespace
}  // namespace train
