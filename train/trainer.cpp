#include "train/trainer.h"
#include "core/device.h"
#include "train/schedule.h"

namespace train {

std::string why_not_recorded(Experiment const& experiment, core::Device const& device) {
  if (!device.can_record()) return "this device runs work at once";
  if (experiment.model.dropout > 0) return "model.dropout draws other numbers in each step";
  if (experiment.run.profile) return "run.profile waits for the device between phases";
  return "";
}

Trainer::Trainer(Experiment const& experiment, core::Device& device, comm::Communicator& ranks,
                 Model& model, int64_t total_steps)
    : experiment_(experiment),
      device_(device),
      model_(model),
      total_steps_(total_steps),
      parameters_(layers::parameters(*model.trunk)),
      buckets_(ranks, parameters_),
      sgd_(parameters_, experiment.optimizer),
      statistics_(ranks, parameters_),
      one_(device, {1}, core::Dtype::f32),
      rate_(core::scalar(device, 0)),
      phases_(experiment.run.profile ? Phases(device) : Phases()),
      images_(device.feed()),
      labels_(device.feed()),
      replay_(
          device, [this](StepInputs const& inputs) { return work(inputs); },
          experiment.run.cuda_graph != CudaGraph::off &&
              why_not_recorded(experiment, device).empty()) {
  device.kernels().fill(1, one_);
}

double Trainer::rate() const {
  return rate_at(experiment_.schedule, experiment_.optimizer.rate, steps_, total_steps_);
}

core::Tensor Trainer::step(Batch const& batch) {
  double const rate = this->rate();
  device_.upload(&rate, rate_);
  first_sample_ = batch.first_sample;
  auto const loss =
      replay_.run({images_->next(batch.images.raw(), batch.images.shape(), batch.images.dtype()),
                   labels_->next(batch.labels.raw(), batch.labels.shape(), batch.labels.dtype()),
                   batch.counts});
  phases_.end_step();
  ++steps_;
  return loss;
}

core::Tensor Trainer::work(StepInputs const& inputs) {
  auto const& rule = experiment_.optimizer;
  model_.head->set_step(
      {sgd_step(rule, rate_, core::Role::weight), sgd_step(rule, rate_, core::Role::bias)});

  core::Tape tape(core::Mode::training, {experiment_.seed, steps_, first_sample_});
  phases_.begin("trunk forward");
  auto const images = convert(tape, core::Tape::constant(inputs.images), model_.dtype);
  auto const features = marked(tape, model_.trunk->forward(tape, images), "trunk backward");
  phases_.begin("head forward");
  auto const loss = model_.head->loss(tape, features, inputs.labels, inputs.counts);

  phases_.begin("head backward, update");
  tape.backward(loss, one_);  // updates the head; starts the buckets
  phases_.begin("gradients over ranks");
  buckets_.finish();
  phases_.begin("trunk update");
  sgd_.step(rate_);
  statistics_.average();
  return loss.value;
}

core::Var Trainer::marked(core::Tape& tape, core::Var const& x, char const* phase) {
  if (!phases_.enabled()) return x;
  return tape.record(x.value, [this, &tape, x, phase](core::Tensor const& dx) {
    phases_.begin(phase);
    tape.give(x, dx);
  });
}

Snapshot Trainer::snapshot(int64_t classes) {
  Snapshot all;
  for (auto* p : parameters_) all.trunk.push_back({p->name, p->value});
  for (auto& velocity : sgd_.state()) all.trunk.push_back(velocity);
  for (auto& part : model_.head->state()) all.head.push_back({part.name, part.tensor});
  all.classes = classes;
  all.seed = experiment_.seed;
  all.image = model_.image;
  return all;
}

void Trainer::restored(int64_t steps) {
  for (auto* p : parameters_) layers::refresh(*p);
  steps_ = steps;
}

}  // namespace train
