#include "comm/self.h"
#include "tests/comm/conformance.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

TEST_CASE("self: every collective -> a copy") {
  comm::Self self;
  CHECK(self.rank() == 0);
  CHECK(self.size() == 1);
  tests::check_communicator(self, tests::device());
  tests::check_rank_order(self, tests::device());
}
