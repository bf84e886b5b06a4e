// Compares the memory of a plan with real steps on several ranks.
#include "comm/mpi/communicator.h"
#include "tests/support/ranks.h"
#include "tests/train/plan/plan_cases.h"

namespace {

void compare(std::vector<std::string> const& settings) {
  INFO((settings.empty() ? "default settings" : settings.front()));
  comm::Mpi ranks(tests::ranks().session);
  auto const e = tests::large_head(settings);
  auto const plan = tests::planned(e, ranks.size());
  auto const measured = tests::measured_peak(e, ranks);
  INFO("planned " << plan.peak << ", measured " << measured << " bytes");
  // The CPU's allocator returns blocks up to 1/16 larger than requested.
  CHECK(static_cast<double>(measured) <= 1.07 * static_cast<double>(plan.peak));
  if (ranks.rank() == 0) CHECK(measured >= plan.peak);
}

}  // namespace

TEST_CASE("plan_step: several ranks -> peak memory of real steps", "[ranks][plan]") {
  for (auto const& settings : tests::plan_settings()) compare(settings);
}

TEST_CASE("plan_step: replicas of the head -> peak memory of real steps", "[ranks][plan]") {
  compare({"head.shards=1"});
  if (tests::world().size() == 4) compare({"head.shards=2", "head.logits=store"});
}
