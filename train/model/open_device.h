#pragma once
#include <memory>
#include "comm/mpi/session.h"
#include "core/device.h"
#include "train/config/experiment.h"

namespace train {

/// Compute threads of one of so many ranks on a host. A rank bound by its launcher sees its own
/// cores alone; ranks that are not bound share what the host has.
int threads_of(RunConfig const& run, int ranks);

/// The device that this rank's part of an experiment runs on: a GPU, chosen by the rank's place on
/// its host, or the CPU. `auto` takes GPUs if every rank has one to itself. Collective. Throws
/// ConfigError where `device: cuda` cannot be.
std::unique_ptr<core::Device> open_device(Experiment const& experiment, comm::Session& session);

}  // namespace train
