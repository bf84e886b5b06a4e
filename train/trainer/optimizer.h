#pragma once
#include "core/tape.h"
#include "layers/head/head.h"
#include "train/checkpoint/checkpoint.h"
#include "train/config/experiment.h"

namespace train {

/// Returns the update rule of a step for parameters of `role`. Weight decay applies to norms and
/// biases only with optimizer.decay_norm_and_bias. step_scalars: UpdateRule::step_scalars. The seed
/// is that of the experiment.
core::UpdateRule update_rule(Experiment const& experiment, core::Tensor const& step_scalars,
                             core::Role role);

/// Returns the parameters of step `number` for the head. `sampling_rate`: fraction of negative
/// classes sampled.
layers::HeadStep head_step(Experiment const& experiment, core::Tensor const& step_scalars,
                           int64_t number, double sampling_rate);

/// Updates replicated parameters. Every rank computes the same update from the summed gradients.
/// LARS treats a weight tensor as one row, and updates norms and biases by SGD. The head is not
/// included: it updates itself during backward.
class Optimizer {
 public:
  Optimizer(std::vector<core::Parameter*> const& parameters, Experiment const& experiment);

  /// Updates every trainable parameter from its `grad`, then releases `grad`. step_scalars,
  /// gradient_scale: see UpdateRule.
  void step(core::Tensor const& step_scalars, core::Tensor const& gradient_scale = {});

  /// Returns the optimizer state, named after the parameters: P.velocity of SGD with momentum,
  /// P.first and P.second of Adam. The tensors share storage with the optimizer.
  std::vector<NamedTensor> state() const;

 private:
  struct Item {
    core::Parameter* parameter;
    core::Tensor first, second;  ///< UpdateState::first and second; may be empty
  };
  /// Updates parameters with the rule of one role.
  void update(core::Role role, std::vector<core::ParameterUpdate>& all,
              core::Tensor const& step_scalars, core::Tensor const& gradient_scale);
  void update_by_lars(core::UpdateRule const& rule, core::ParameterUpdate& one);

  Experiment const& experiment_;
  std::vector<Item> items_;
};

}  // namespace train
