#include "comm/self.h"
#include "core/cpu/device.h"
#include "tests/comm/conformance.h"
#include "tests/support/reference.h"

TEST_CASE("a rank alone gets copies of its own") {
  core::cpu::Cpu device;
  comm::Self self;
  CHECK(self.rank() == 0);
  CHECK(self.size() == 1);
  tests::check_communicator(self, device);
}
