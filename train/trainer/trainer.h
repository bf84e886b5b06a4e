#pragma once
#include "comm/buckets.h"
#include "layers/trunk/running_statistics.h"
#include "train/data/loader.h"
#include "train/model/model.h"
#include "train/trainer/optimizer.h"
#include "train/trainer/phases.h"
#include "train/trainer/step_graph.h"

namespace train {

/// Returns the reason why steps of an experiment cannot be captured as a graph on a device; "" if
/// they can.
std::string why_not_captured(Experiment const& experiment, core::Device const& device);

/// Splits the inputs of a step into micro-batches, each with a share of every rank. Micro-batches
/// that are empty on all ranks are omitted.
std::vector<StepInputs> parts_of(StepInputs const& whole, int parts);

/// Trains a model, on one rank.
class Trainer {
 public:
  /// `total_steps`: length of the learning rate schedule. `model` must outlive the trainer.
  Trainer(Experiment const& experiment, core::Device& device, comm::Communicator& ranks,
          Model& model, int64_t total_steps);

  /// Runs one training step (docs/architecture.md, "A training step") on this rank's share of a
  /// batch. Returns the loss of the global batch: (1), f32, on the device, the same on every rank,
  /// valid until the next step.
  core::Tensor step(Batch const& batch);

  int64_t steps() const { return steps_; }  ///< completed steps
  double lr() const { return lr_; }         ///< learning rate of the last step

  /// Times of the phases of a step; enabled by run.profile.
  Phases& phases() { return phases_; }

  /// Returns the training state. Its tensors share storage with the model and the optimizer: call
  /// `restored` after loading into them, with the number of completed steps.
  Snapshot snapshot(int64_t classes);
  void restored(int64_t steps);

 private:
  core::Tensor run_step(StepInputs const& inputs);
  layers::HeadStep head_step(bool clips, bool summed) const;
  core::Tensor forward_backward(StepInputs const& inputs, int64_t first_sample);
  void clip_gradients();
  /// Returns x. In backward, its gradient begins a phase.
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
  core::Tensor step_scalars_;  ///< values of the current step: UpdateRule::step_scalars
  Phases phases_;
  std::unique_ptr<core::InputStage> images_, labels_;
  int64_t first_sample_ = 0;  ///< index of this rank's first row in the global batch
  StepGraph step_graph_;
};

}  // namespace train
