#pragma once
#include "comm/buckets.h"
#include "layers/trunk/running_statistics.h"
#include "train/data/loader.h"
#include "train/model/model.h"
#include "train/trainer/optimizer.h"
#include "train/trainer/phases.h"
#include "train/trainer/step_graph.h"

namespace train {

/// Why the steps of an experiment cannot be recorded and replayed on a device; "" if they can.
std::string why_not_captured(Experiment const& experiment, core::Device const& device);

/// A step's inputs in parts, each with every rank's share; those that are empty on all ranks are
/// left out.
std::vector<StepInputs> parts_of(StepInputs const& whole, int parts);

/// One model in training on one rank.
class Trainer {
 public:
  /// `total_steps` is what the schedule runs over. `model` outlives this.
  Trainer(Experiment const& experiment, core::Device& device, comm::Communicator& ranks,
          Model& model, int64_t total_steps);

  /// One training step, DESIGN.md section 2, on this rank's share of a batch. Gives the loss of the
  /// global batch: (1), f32, on the device, the same on every rank, good until the next step.
  core::Tensor step(Batch const& batch);

  int64_t steps() const { return steps_; }  ///< steps done
  double lr() const { return lr_; }         ///< learning rate of the last step

  /// Where the time of the steps went; enabled by run.profile.
  Phases& phases() { return phases_; }

  /// The live state. After loading into it, call `restored`.
  Snapshot snapshot(int64_t classes);
  void restored(int64_t steps);

 private:
  core::Tensor run_step(StepInputs const& inputs);
  layers::HeadStep head_step(bool clips, bool summed) const;
  core::Tensor forward_backward(StepInputs const& inputs, int64_t first_sample);
  void clip_gradients();
  /// x, with a mark on the tape: its gradient begins a phase.
  core::Var marked(core::Tape& tape, core::Var const& x, char const* phase);

  Experiment const& experiment_;
  core::Device& device_;
  Model& model_;
  int64_t total_steps_;
  int64_t steps_ = 0;
  double lr_ = 0;
  std::vector<core::Parameter*> parameters_;
  comm::GradientBuckets buckets_;
  Optimizer optimizer_;
  layers::RunningStatistics statistics_;
  core::Tensor one_;           ///< seed of backward
  core::Tensor step_scalars_;  ///< the step's numbers: UpdateRule::step_scalars
  Phases phases_;
  std::unique_ptr<core::InputStage> images_, labels_;
  int64_t first_sample_ = 0;  ///< place of this rank's first row in the global batch
  StepGraph step_graph_;
};

}  // namespace train
