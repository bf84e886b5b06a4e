#pragma once
#include "comm/communicator.h"
#include "comm/mpi/session.h"

namespace comm {

/// Collective. Returns a communicator of all ranks for tensors of `device`: NCCL on a GPU, MPI on
/// the CPU. `session` and `device` must outlive it.
std::unique_ptr<Communicator> open(Session& session, core::Device& device);

}  // namespace comm
