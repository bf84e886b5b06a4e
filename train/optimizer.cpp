#include "train/optimizer.h"
#include "core/device.h"
#include "core/kernels.h"

namespace train {

core::SgdStep sgd_step(OptimizerConfig const& config, core::Tensor const& rate, core::Role role) {
  bool const decays = role == core::Role::weight || config.decay_norms;
  return {rate, config.momentum, decays ? config.decay : 0, config.nesterov};
}

Sgd::Sgd(std::vector<core::Parameter*> const& parameters, OptimizerConfig const& config)
    : config_(config) {
  for (auto* p : parameters) {
    if (!p->trainable()) continue;
    parameters_.push_back(p);
    velocities_.emplace_back();
    if (config.momentum == 0) continue;
    velocities_.back() = core::empty_like(p->value);
    p->value.device().kernels().fill(0, velocities_.back());
  }
}

void Sgd::step(core::Tensor const& rate) {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    auto& p = *parameters_[i];
    core::Tensor copy = p.compute.dtype() == p.value.dtype() ? core::Tensor{} : p.compute;
    p.value.device().kernels().sgd(sgd_step(config_, rate, p.role), p.grad, p.value, velocities_[i],
                                   copy);
    p.grad = {};
  }
}

std::vector<NamedTensor> Sgd::state() const {
  std::vector<NamedTensor> all;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (velocities_[i]) all.push_back({parameters_[i]->name + ".velocity", velocities_[i]});
  }
  return all;
}

}  // namespace train
