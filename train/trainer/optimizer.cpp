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
  std::vector<core::ParameterUpdate> weights, others;  // different weight decay
  for (auto const& [p, first, second] : items_) {
    core::UpdateState state{p->value, first, second, {}};
    if (p->compute.dtype() != p->value.dtype()) state.copy = p->compute;
    (p->role == core::Role::weight ? weights : others).push_back({p->grad, state});
    p->grad = {};
  }
  update(core::Role::weight, weights, step_scalars, gradient_scale);
  update(core::Role::norm, others, step_scalars, gradient_scale);
}

void Optimizer::update(core::Role role, std::vector<core::ParameterUpdate>& all,
                       core::Tensor const& step_scalars, core::Tensor const& gradient_scale) {
  if (all.empty()) return;
  core::UpdateRule rule = update_rule(experiment_, step_scalars, role);
  rule.gradient_scale = gradient_scale;
  bool const lars = experiment_.optimizer.kind == OptimizerKind::lars && role == core::Role::weight;
  if (!lars) return all.front().g.device().kernels().update_all(rule, all);
  for (core::ParameterUpdate& one : all) update_by_lars(rule, one);
}

void Optimizer::update_by_lars(core::UpdateRule const& rule, core::ParameterUpdate& one) {
  auto& [g, state] = one;
  for (core::Tensor* t : {&g, &state.w, &state.first, &state.copy})
    if (*t) *t = t->reshape({1, t->count()});
  auto& kernels = g.device().kernels();
  core::Tensor trust(g.device(), {1}, g.dtype());
  kernels.lars_trust_ratio(experiment_.optimizer.trust_coefficient, rule.decay, rule.gradient_scale,
                           g, state.w, trust);
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
