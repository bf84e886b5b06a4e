#pragma once
#include "comm/communicator.h"
#include "comm/session.h"
#include "core/device.h"

/// What rank tests run on. All of it is made and owned by main() in ranks_main.cpp.
namespace tests {

struct Ranks {
  comm::Session& session;
  comm::Communicator& world;  ///< all ranks of the run
  core::Device& device;       ///< the CPU
};

Ranks const& ranks();

inline comm::Communicator& world() { return ranks().world; }
inline core::Device& device() { return ranks().device; }

}  // namespace tests
