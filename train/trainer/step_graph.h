#pragma once
#include <functional>
#include "comm/communicator.h"
#include "core/device.h"

namespace train {

/// What a step reads: on the device, and the rows of every rank.
struct StepInputs {
  core::Tensor images, labels;
  comm::Counts counts;
};

/// Runs steps; where the device can record, those of the usual batch are recorded once, after a few
/// have gone as they are, and replayed from then on. Batches of other sizes (the last one of an
/// epoch) always go as they are.
class StepGraph {
 public:
  /// What a step does; gives the loss.
  using Step = std::function<core::Tensor(StepInputs const&)>;

  StepGraph(core::Device& device, Step step, bool record);

  /// The step's loss, good until the next call. All ranks call with the same counts.
  core::Tensor run(StepInputs const& inputs);

 private:
  void record(StepInputs const& like);

  core::Device& device_;
  Step step_;
  bool record_;
  comm::Counts usual_;  ///< counts of the steps that are, or may be, recorded
  int64_t seen_ = 0;    ///< such steps in a row
  StepInputs fixed_;    ///< what the recording reads
  core::Tensor loss_;   ///< what it writes
  std::unique_ptr<core::Graph> recording_;
};

}  // namespace train
