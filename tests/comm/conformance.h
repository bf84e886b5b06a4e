#pragma once
#include "comm/communicator.h"
#include "core/device.h"

namespace tests {

/// Collective. Checks every collective of `ranks` on tensors of `device` against expected values
/// that are computed without communication.
void check_communicator(comm::Communicator& ranks, core::Device& device);

/// Checks that sums are added in rank order, which only communicators over MPI guarantee.
void check_rank_order(comm::Communicator& ranks, core::Device& device);

}  // namespace tests
