#pragma once
#include "comm/communicator.h"
#include "core/device.h"

namespace tests {

/// Checks every collective of `ranks` on tensors of `device` against what it must give, computed
/// without communication. Called by every rank.
void check_communicator(comm::Communicator& ranks, core::Device& device);

/// Checks that sums are taken in the order of the ranks: as communicators over MPI promise, beyond
/// what all do.
void check_rank_order(comm::Communicator& ranks, core::Device& device);

}  // namespace tests
