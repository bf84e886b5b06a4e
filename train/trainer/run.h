#pragma once
#include <iosfwd>
#include "comm/communicator.h"
#include "core/device.h"
#include "train/config/experiment.h"

namespace train {

/// What to do with a run folder that already holds a run.
enum class Existing {
  refuse,     ///< an error: nothing is ever overwritten unasked
  resume,     ///< go on from its newest good checkpoint, or begin where there is none
  overwrite,  ///< remove its checkpoints and metrics, and begin
};

/// Trains an experiment to its end: steps, evaluation, checkpoints, metrics.jsonl. All ranks call
/// alike; rank 0 tells `out` how it goes. Throws what goes wrong, as the types of errors.h where
/// one fits.
void train(Experiment const& experiment, Existing existing, core::Device& device,
           comm::Communicator& ranks, std::ostream& out);

}  // namespace train
