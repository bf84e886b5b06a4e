#pragma once
#include "comm/communicator.h"
#include "core/device.h"
#include "train/config/experiment.h"
#include "train/report/report.h"

namespace train {

/// What to do with a run folder that already holds a run.
enum class Existing {
  refuse,     ///< throw: nothing is overwritten without a request
  resume,     ///< continue from its newest good checkpoint; start from scratch if it has none
  overwrite,  ///< remove its checkpoints and metrics, and start from scratch
};

/// Trains an experiment to its end: steps, evaluation, checkpoints, metrics.jsonl. Collective; rank
/// 0 reports progress on the console.
/// Throws: the errors of errors.h, and comm::Timeout if a rank does not respond.
void train(Experiment const& experiment, Existing existing, core::Device& device,
           comm::Communicator& ranks, Console const& console);

}  // namespace train
