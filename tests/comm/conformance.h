#pragma once
#include "comm/communicator.h"
#include "core/device.h"

namespace tests {

/// Checks every collective of `ranks` on tensors of `device` against what it must give, computed
/// without communication. Called by every rank.
void check_communicator(comm::Communicator& ranks, core::Device& device);

}  // namespace tests
