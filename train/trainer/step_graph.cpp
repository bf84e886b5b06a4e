#include "train/trainer/step_graph.h"

namespace train {
namespace {

/// Steps before the capture: libraries choose algorithms and communicators connect in them.
constexpr int64_t warm_up_steps = 3;

}  // namespace

StepGraph::StepGraph(core::Device& device, Step step, bool record)
    : device_(device), step_(std::move(step)), record_(record) {}

core::Tensor StepGraph::run(StepInputs const& inputs) {
  if (!record_) return step_(inputs);
  if (!recording_ && inputs.counts != usual_) {
    usual_ = inputs.counts;
    seen_ = 0;
  }
  if (inputs.counts != usual_) return step_(inputs);
  if (++seen_ < warm_up_steps) return step_(inputs);
  if (seen_ == warm_up_steps) return rehearse(inputs);
  if (!recording_) record(inputs);
  device_.copy(inputs.images, fixed_.images);
  device_.copy(inputs.labels, fixed_.labels);
  recording_->replay();
  return loss_;
}

core::Tensor StepGraph::rehearse(StepInputs const& inputs) {
  core::Tensor loss;
  device_.rehearse([&] { loss = step_(inputs); });
  return loss;
}

void StepGraph::record(StepInputs const& like) {
  fixed_ = {core::empty_like(like.images), core::empty_like(like.labels), like.counts};
  loss_ = core::Tensor(device_, {1}, core::Dtype::f32);
  recording_ = device_.capture([this] { device_.copy(step_(fixed_), loss_); });
}

}  // namespace train
