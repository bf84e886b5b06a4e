#pragma once
#include "layers/head.h"
#include "train/checkpoint.h"
#include "train/experiment.h"

namespace train {

/// The rule of a step for weights of `role`: decay leaves norms and biases alone unless asked.
core::SgdStep sgd_step(OptimizerConfig const& config, core::Tensor const& rate, core::Role role);

/// Stochastic gradient descent on replicated parameters; every rank does the same from the summed
/// gradients. The head has its own, inside its backward.
class Sgd {
 public:
  Sgd(std::vector<core::Parameter*> const& parameters, OptimizerConfig const& config);

  /// Updates every trainable parameter from its `grad`, which is then let go. rate: SgdStep's.
  void step(core::Tensor const& rate);

  /// Velocities, named after their parameters.
  std::vector<NamedTensor> state() const;

 private:
  OptimizerConfig config_;
  std::vector<core::Parameter*> parameters_;
  std::vector<core::Tensor> velocities_;  ///< empty tensors without momentum
};

}  // namespace train
