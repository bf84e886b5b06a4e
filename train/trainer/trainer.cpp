#include "train/trainer/trainer.h"
#include "core/device.h"
#include "train/trainer/schedule.h"

namespace train {

std::string why_not_captured(Experiment const& experiment, core::Device const& device) {
  if (!device.can_capture()) return "the device executes eagerly; there is nothing to capture";
  if (experiment.model.dropout > 0) return "model.dropout uses new random numbers in each step";
  if (experiment.head.sampling.rate < 1) return "head.sampling samples classes on the host";
  if (experiment.run.profile) return "run.profile synchronizes the device between phases";
  return "";
}

std::vector<StepInputs> parts_of(StepInputs const& whole, int parts) {
  if (parts == 1) return {whole};
  std::vector<StepInputs> all;
  auto const ranks = whole.counts.size();
  int64_t begin = 0;
  for (int i = 0; i < parts; ++i) {
    StepInputs part{.counts = comm::Counts(ranks)};
    for (size_t rank = 0; rank < ranks; ++rank)
      part.counts[rank] = comm::split_evenly(whole.counts[rank], parts)[static_cast<size_t>(i)];
    if (comm::begin_of(part.counts, static_cast<int>(ranks)) == 0) continue;
    int64_t const rows = comm::split_evenly(whole.images.size(0), parts)[static_cast<size_t>(i)];
    part.images = whole.images.rows(begin, begin + rows);
    part.labels = whole.labels.rows(begin, begin + rows);
    begin += rows;
    all.push_back(std::move(part));
  }
  return all;
}

Trainer::Trainer(Experiment const& experiment, core::Device& device, comm::Communicator& ranks,
                 Model& model, int64_t total_steps)
    : experiment_(experiment),
      device_(device),
      model_(model),
      total_steps_(total_steps),
      parameters_(layers::parameters(*model.trunk)),
      buckets_(ranks.named("trunk gradients"), parameters_),
      optimizer_(parameters_, experiment),
      statistics_(ranks.named("running statistics"), parameters_),
      one_(device, {1}, core::Dtype::f32),
      step_scalars_(device, {4}, core::Dtype::f64),
      phases_(experiment.run.profile ? Phases(device) : Phases()),
      images_(device.input_stage()),
      labels_(device.input_stage()),
      step_graph_(
          device, [this](StepInputs const& inputs) { return run_step(inputs); },
          experiment.run.cuda_graph != CudaGraph::off &&
              why_not_captured(experiment, device).empty()) {
  device.kernels().fill(1, one_);
}

core::Tensor Trainer::step(Batch const& batch) {
  lr_ = lr_at(experiment_.schedule, experiment_.optimizer.lr, steps_, total_steps_);
  auto const numbers = core::make_step_scalars(
      update_rule(experiment_, step_scalars_, core::Role::weight), lr_, steps_ + 1);
  device_.upload(numbers.data(), step_scalars_);
  first_sample_ = batch.first_sample;
  auto const loss = step_graph_.run(
      {images_->next(batch.images.raw(), batch.images.shape(), batch.images.dtype()),
       labels_->next(batch.labels.raw(), batch.labels.shape(), batch.labels.dtype()),
       batch.counts});
  phases_.end_step();
  ++steps_;
  return loss;
}

core::Tensor Trainer::run_step(StepInputs const& inputs) {
  bool const clips = experiment_.optimizer.max_grad_norm.has_value();
  auto const parts = parts_of(inputs, experiment_.optimizer.accumulation_steps);
  auto& head = *model_.head;
  head.set_step(head_step(clips, parts.size() > 1));
  buckets_.begin(static_cast<int>(parts.size()));
  core::Tensor loss;
  int64_t first_sample = first_sample_;
  for (auto const& part : parts) {
    loss = forward_backward(part, first_sample);
    first_sample += part.images.size(0);
  }
  phases_.begin("head update");
  if (!clips) head.finish();  // if deferred: beside the all-reduce of the trunk's gradients
  phases_.begin("gradients over ranks");
  buckets_.finish();
  if (clips) {
    phases_.begin("gradient norm");
    clip_gradients();
    phases_.begin("head update");
    head.finish();
  }
  phases_.begin("trunk update");
  optimizer_.step(step_scalars_, head.gradient_scale());
  statistics_.average();
  return loss;
}

layers::HeadStep Trainer::head_step(bool clips, bool summed) const {
  auto const& sampling = experiment_.head.sampling;
  bool const samples =
      static_cast<double>(steps_) < sampling.full_after * static_cast<double>(total_steps_);
  auto step = train::head_step(experiment_, step_scalars_, steps_ + 1, samples ? sampling.rate : 1);
  step.deferred = clips || summed;
  step.summed = summed;
  return step;
}

/// Runs forward and backward for one micro-batch.
core::Tensor Trainer::forward_backward(StepInputs const& inputs, int64_t first_sample) {
  core::Tape tape(core::Mode::training, {experiment_.seed, steps_, first_sample});
  phases_.begin("trunk forward");
  auto const images = convert(tape, core::Tape::constant(inputs.images), model_.dtype);
  auto const features = marked(tape, model_.trunk->forward(tape, images), "trunk backward");
  phases_.begin("head forward");
  auto const loss = model_.head->loss(tape, features, inputs.labels, inputs.counts);
  phases_.begin("head backward");
  tape.backward(loss, one_);  // starts the all-reduce of gradient buckets
  return loss.value;
}

/// Reduces the gradient scale so that the norm of the whole gradient is at most
/// optimizer.max_grad_norm.
void Trainer::clip_gradients() {
  auto& kernels = device_.kernels();
  core::Tensor squares(device_, {1}, core::Dtype::f64), factor = model_.head->gradient_scale();
  kernels.fill(0, squares);
  for (auto const* p : parameters_)
    if (p->trainable()) kernels.add_squared_norm(p->grad, squares);
  model_.head->add_gradient_squared_norm(squares);
  kernels.clip_factor(*experiment_.optimizer.max_grad_norm, squares, factor);
}

core::Var Trainer::marked(core::Tape& tape, core::Var const& x, char const* phase) {
  if (!phases_.enabled()) return x;
  return tape.record(x.value, [this, &tape, x, phase](core::Tensor const& dx) {
    phases_.begin(phase);
    tape.add_grad(x, dx);
  });
}

Snapshot Trainer::snapshot(int64_t classes) {
  Snapshot all;
  for (auto* p : parameters_) all.trunk.push_back({p->name, p->value});
  for (auto& state : optimizer_.state()) all.trunk.push_back(state);
  for (auto& part : model_.head->state()) all.head.push_back({part.name, part.tensor});
  all.classes = classes;
  all.seed = experiment_.seed;
  all.image = model_.image;
  return all;
}

void Trainer::restored(int64_t steps) {
  for (auto* p : parameters_) layers::refresh(*p);
  model_.head->refresh();
  steps_ = steps;
}

}  // namespace train
