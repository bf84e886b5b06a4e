#pragma once
#include <functional>
#include "comm/communicator.h"
#include "core/device.h"

namespace train {

/// Inputs of a step, on the device, and the number of rows of every rank.
struct StepInputs {
  core::Tensor images, labels;
  comm::Counts counts;
};

/// Runs training steps. If `record` is true, steps of the usual batch size are captured once as a
/// graph, after some warm-up steps, and replayed from then on. Batches of other sizes (the last one
/// of an epoch) are always run without a graph.
class StepGraph {
 public:
  /// Runs a step and returns its loss.
  using Step = std::function<core::Tensor(StepInputs const&)>;

  StepGraph(core::Device& device, Step step, bool record);

  /// Runs a step and returns its loss, which is valid until the next call. All ranks must pass the
  /// same counts.
  core::Tensor run(StepInputs const& inputs);

  /// True while steps are run to warm up for a capture.
  bool warming_up() const { return record_ && !recording_; }
  bool captures() const { return record_; }  ///< steps are captured after the warm-up

 private:
  core::Tensor rehearse(StepInputs const& inputs);
  void record(StepInputs const& like);

  core::Device& device_;
  Step step_;
  bool record_;
  comm::Counts usual_;  ///< counts of the steps that are, or will be, captured
  int64_t seen_ = 0;    ///< number of consecutive steps with these counts
  StepInputs fixed_;    ///< input tensors of the graph
  core::Tensor loss_;   ///< output tensor of the graph
  std::unique_ptr<core::Graph> recording_;
};

}  // namespace train
