#pragma once
#include "comm/communicator.h"
#include "comm/mpi/session.h"
#include "tests/support/device.h"

/// What rank tests run on beside devices. All of it is made and owned by main() in ranks_main.cpp.
namespace tests {

struct Ranks {
  comm::Session& session;
  comm::Communicator& world;  ///< all ranks of the run
};

Ranks const& ranks();

inline comm::Communicator& world() { return ranks().world; }

}  // namespace tests
