#pragma once
#include "comm/communicator.h"
#include "comm/mpi/session.h"

namespace comm {

/// All ranks of the run, for tensors of `device`: joined by NCCL on a GPU, by MPI on the CPU.
/// Collective. Dies before both.
std::unique_ptr<Communicator> open(Session& session, core::Device& device);

}  // namespace comm
