#include "train/trainer/phases.h"
#include <catch2/catch.hpp>
#include "tests/support/device.h"

using train::Phases;

TEST_CASE("phases: switches within steps -> time per phase and its share") {
  core::Device& device = tests::device();
  double now = 100;
  Phases phases(device, [&] { return now; });
  CHECK(phases.enabled());
  CHECK(phases.rows().empty());
  CHECK(phases.table().empty());
  for (int step = 0; step < 2; ++step) {
    phases.begin("data");
    now += 0.25;
    phases.begin("forward");
    now += 1;
    phases.begin("data");  // again within the step
    now += 0.25;
    phases.end_step();
    now += 50;  // between steps
  }
  auto const rows = phases.rows();
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].phase == "data");
  CHECK(rows[0].milliseconds == Approx(500));
  CHECK(rows[0].share == Approx(1.0 / 3));
  CHECK(rows[1].phase == "forward");
  CHECK(rows[1].milliseconds == Approx(1000));
  CHECK(rows[1].share == Approx(2.0 / 3));
  CHECK(phases.table() ==
        "phase       ms/step   share\n"
        "data        500.000  33.3 %\n"
        "forward    1000.000  66.7 %\n"
        "sum        1500.000 100.0 %\n");

  phases.clear();
  CHECK(phases.rows().empty());
  phases.begin("forward");
  now += 3;
  phases.end_step();
  REQUIRE(phases.rows().size() == 1);
  CHECK(phases.rows()[0].milliseconds == Approx(3000));
}

TEST_CASE("phases: steps of duration 0 -> share 0") {
  core::Device& device = tests::device();
  Phases phases(device, [] { return 7.0; });
  phases.begin("step");
  phases.end_step();
  REQUIRE(phases.rows().size() == 1);
  CHECK(phases.rows()[0].share == 0);
}

TEST_CASE("phases: no device -> disabled, no rows") {
  Phases phases;
  CHECK_FALSE(phases.enabled());
  phases.begin("data");
  phases.end_step();
  CHECK(phases.rows().empty());
}

TEST_CASE("phases: no clock given -> the default clock") {
  core::Device& device = tests::device();
  Phases phases(device);
  phases.begin("step");
  phases.end_step();
  REQUIRE(phases.rows().size() == 1);
  CHECK(phases.rows()[0].milliseconds >= 0);
  CHECK(phases.rows()[0].milliseconds < 60'000);
}
