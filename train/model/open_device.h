#pragma once
#include <memory>
#include "comm/mpi/session.h"
#include "core/device.h"
#include "train/config/experiment.h"

namespace train {

/// Returns the number of compute threads of a rank, with `ranks` ranks on the host: run.threads, or
/// by default a share of the cores. A rank that its launcher has bound to cores uses these; ranks
/// that are not bound share all cores of the host.
int threads_of(RunConfig const& run, int ranks);

/// Opens the device of this rank: a GPU, selected by the rank's index on its host, or the CPU.
/// `device: auto` selects GPUs if every rank has one of its own. Collective.
/// Throws: ConfigError if `device: cuda` is set and this rank has no GPU.
std::unique_ptr<core::Device> open_device(Experiment const& experiment, comm::Session& session);

}  // namespace train
