#include "train/trainer/optimizer.h"
#include "core/device.h"
#include "core/kernels.h"

namespace train {
namespace {

core::Rule rule_of(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::adam:
      return core::Rule::adam;
    case OptimizerKind::adamw:
      return core::Rule::adamw;
    case OptimizerKind::sgd:
    case OptimizerKind::lars:
      return core::Rule::sgd;
  }
  core::fail("no such optimizer");
}

core::Tensor zeros_like(core::Tensor const& t) {
  core::Tensor zeros = core::empty_like(t);
  t.device().kernels().fill(0, zeros);
  return zeros;
}

}  // namespace

core::UpdateRule update_rule(Experiment const& experiment, core::Tensor const& step_scalars,
                             core::Role role) {
  OptimizerConfig const& config = experiment.optimizer;
  bool const decays = role == core::Role::weight || config.decay_norm_and_bias;
  core::UpdateRule rule;
  rule.kind = rule_of(config.kind);
  bool const adam = rule.kind != core::Rule::sgd;
  rule.momentum = adam ? config.betas[0] : config.momentum;
  rule.second = config.betas[1];
  rule.epsilon = config.eps;
  rule.decay = decays ? config.weight_decay : 0;
  rule.nesterov = config.nesterov;
  rule.step_scalars = step_scalars;
  rule.seed = experiment.seed;
  return rule;
}

layers::HeadStep head_step(Experiment const& experiment, core::Tensor const& step_scalars,
                           int64_t number, double sampling_rate) {
  layers::HeadStep step{update_rule(experiment, step_scalars, core::Role::weight),
                        update_rule(experiment, step_scalars, core::Role::bias)};
  if (experiment.optimizer.kind == OptimizerKind::lars)
    step.trust_coefficient = experiment.optimizer.trust_coefficient;
  step.number = number;
  step.sampling_rate = sampling_rate;
  return step;
}

Optimizer::Optimizer(std::vector<core::Parameter*> const& parameters, Experiment const& experiment)
    : experiment_(experiment) {
  OptimizerConfig const& config = experiment.optimizer;
  bool const adam = rule_of(config.kind) != core::Rule::sgd;
  for (auto* p : parameters) {
    if (!p->trainable()) continue;
    Item item{p, {}, {}};
    if (adam || config.momentum != 0) item.first = zeros_like(p->value);
    if (adam) item.second = zeros_like(p->value);
    items_.push_back(item);
  }
}

void Optimizer::step(core::Tensor const& step_scalars, core::Tensor const& gradient_scale) {
  for (Item const& item : items_) {
    core::UpdateRule rule = update_rule(experiment_, step_scalars, item.parameter->role);
    rule.gradient_scale = gradient_scale;
    update(item, rule);
    item.parameter->grad = {};
  }
}

void Optimizer::update(Item const& item, core::UpdateRule const& rule) {
  core::Parameter const& p = *item.parameter;
  auto& kernels = p.value.device().kernels();
  core::Tensor g = p.grad, trust;
  core::UpdateState state{p.value, item.first, item.second, {}};
  if (p.compute.dtype() != p.value.dtype()) state.copy = p.compute;
  if (experiment_.optimizer.kind == OptimizerKind::lars && p.role == core::Role::weight) {
    for (core::Tensor* t : {&g, &state.w, &state.first, &state.copy})
      if (*t) *t = t->reshape({1, t->count()});
    trust = core::Tensor(g.device(), {1}, g.dtype());
    kernels.lars_trust_ratio(experiment_.optimizer.trust_coefficient, rule.decay,
                             rule.gradient_scale, g, state.w, trust);
  }
  kernels.update(rule, 0, trust, g, state);
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> all;
  for (auto const& [p, first, second] : items_) {
    if (first) all.push_back({p->name + (second ? ".first" : ".velocity"), first});
    if (second) all.push_back({p->name + ".second", second});
  }
  return all;
}

}  // namespace train
