#pragma once
#include "core/tape.h"
#include "layers/head/head.h"
#include "train/checkpoint/checkpoint.h"
#include "train/config/experiment.h"

namespace train {

/// The rule of a step for weights of `role`: decay leaves norms and biases alone unless asked.
/// now: UpdateRule's. The seed is the experiment's.
core::UpdateRule update_rule(Experiment const& experiment, core::Tensor const& step_scalars,
                             core::Role role);

/// How the head takes step `number`, with its share of classes drawn.
layers::HeadStep head_step(Experiment const& experiment, core::Tensor const& step_scalars,
                           int64_t number, double sampling_rate);

/// Updates replicated parameters; every rank does the same from the summed gradients. LARS takes a
/// weight as one row, and leaves norms and biases to SGD. The head has its own, inside its
/// backward.
class Optimizer {
 public:
  Optimizer(std::vector<core::Parameter*> const& parameters, Experiment const& experiment);

  /// Updates every trainable parameter from its `grad`, which is then let go. now, factor:
  /// UpdateRule's.
  void step(core::Tensor const& step_scalars, core::Tensor const& gradient_scale = {});

  /// What is kept of the gradients, named after the parameters: P.velocity of SGD with momentum,
  /// P.first and P.second of Adam.
  std::vector<NamedTensor> state() const;

 private:
  struct Item {
    core::Parameter* parameter;
    core::Tensor first, second;  ///< UpdateState's
  };
  void update(Item const& item, core::UpdateRule const& rule);

  Experiment const& experiment_;
  std::vector<Item> items_;
};

}  // namespace train
