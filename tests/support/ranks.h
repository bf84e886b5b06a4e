#pragma once
#include "comm/communicator.h"
#include "comm/mpi/session.h"
#include "tests/support/device.h"

/// Objects that rank tests use besides devices. main() in ranks_main.cpp creates and owns them.
namespace tests {

struct Ranks {
  comm::Session& session;
  comm::Communicator& world;  ///< Communicator of all ranks of the run.
};

Ranks const& ranks();

inline comm::Communicator& world() { return ranks().world; }

}  // namespace tests
