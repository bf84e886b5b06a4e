#include "train/trainer.h"
#include "core/device.h"
#include "train/schedule.h"
#include "train/upload.h"

namespace train {

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
      phases_(experiment.run.profile ? Phases(device) : Phases()) {
  device.kernels().fill(1, one_);
}

double Trainer::rate() const {
  return rate_at(experiment_.schedule, experiment_.optimizer.rate, steps_, total_steps_);
}

core::Tensor Trainer::step(Batch const& batch) {
  auto const& rule = experiment_.optimizer;
  double const rate = this->rate();
  model_.head->set_step(
      {sgd_step(rule, rate, core::Role::weight), sgd_step(rule, rate, core::Role::bias)});

  core::Tape tape(core::Mode::training, {experiment_.seed, steps_, batch.first_sample});
  phases_.begin("trunk forward");
  auto const images = core::Tape::constant(images_on(device_, batch.images, model_.dtype));
  auto const features = marked(tape, model_.trunk->forward(tape, images), "trunk backward");
  phases_.begin("head forward");
  auto const loss = model_.head->loss(tape, features, on(device_, batch.labels), batch.counts);

  phases_.begin("head backward, update");
  tape.backward(loss, one_);  // updates the head; starts the buckets
  phases_.begin("gradients over ranks");
  buckets_.finish();
  phases_.begin("trunk update");
  sgd_.step(rate);
  statistics_.average();
  phases_.end_step();
  ++steps_;
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
  return all;
}

void Trainer::restored(int64_t steps) {
  for (auto* p : parameters_) layers::refresh(*p);
  steps_ = steps;
}

}  // namespace train
