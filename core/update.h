#pragma once
#include <array>
#include <cmath>
#include "core/device.h"

namespace core {

/// Update formulas of the optimizers: new weights w from the gradient g. They match torch.optim.
enum class Rule {
  /// g += decay w;  v = momentum v + g;  w -= rate (nesterov ? g + momentum v : v)
  sgd,
  /// g += decay w;  m = momentum m + (1 - momentum) g;  v = second v + (1 - second) g^2;
  /// w -= rate m' / (sqrt(v') + epsilon), with m' = m / (1 - momentum^t) and
  /// v' = v / (1 - second^t) (Kingma, Ba 2015)
  adam,
  /// As adam, but with decoupled weight decay: w -= rate decay w beforehand (Loshchilov, Hutter
  /// 2019)
  adamw,
};

/// Hyperparameters of one optimizer step. Values that change from step to step are stored on the
/// device, so that a recorded step (Device::capture) reads their current values when it is
/// replayed.
struct UpdateRule {
  Rule kind = Rule::sgd;
  double momentum = 0;    ///< momentum coefficient of SGD, beta1 of Adam; SGD at 0 does not use
                          ///< `first`, which may be empty
  double second = 0.999;  ///< Adam: beta2
  double epsilon = 1e-8;  ///< Adam: added to the denominator
  double decay = 0;
  bool nesterov = false;  ///< SGD: Nesterov momentum
  /// (4), f64: result of make_step_scalars.
  Tensor step_scalars;
  /// (1), f64: factor of the gradient; empty: 1. At 0 nothing changes, bit for bit, whatever the
  /// gradient is: this skips a step whose gradient is not finite.
  Tensor gradient_scale;
  uint64_t seed = 0;  ///< seed of stochastic rounding
};

/// Tensors of a parameter, or of some of its rows, all of one shape (rows, ...). With f32
/// gradients, w, first and second may each be bf16: they are computed in f32 and rounded
/// stochastically, because changes are often too small for rounding to nearest.
struct UpdateState {
  Tensor w;       ///< master weights, or bf16 weights
  Tensor first;   ///< velocity of SGD, first moment of Adam; or empty
  Tensor second;  ///< second moment of Adam; or empty
  Tensor copy;    ///< bf16 copy of w, rounded to nearest, that ops read; or empty
};

/// A whole parameter and its gradient g, of w's shape, Acc.
struct ParameterUpdate {
  Tensor g;
  UpdateState state;
};

/// Returns the values of UpdateRule::step_scalars for step `step` (the first is 1): the learning
/// rate; 1 - momentum^step and 1 - second^step, the bias corrections of Adam's moments; and the
/// step number, the key of stochastic rounding.
inline std::array<double, 4> make_step_scalars(UpdateRule const& rule, double rate, int64_t step) {
  auto const t = static_cast<double>(step);
  return {rate, 1 - std::pow(rule.momentum, t), 1 - std::pow(rule.second, t), t};
}

/// Returns the same values as a device tensor.
inline Tensor make_step_scalars(Device& device, UpdateRule const& rule, double rate, int64_t step) {
  Tensor t(device, {4}, Dtype::f64);
  device.upload(make_step_scalars(rule, rate, step).data(), t);
  return t;
}

}  // namespace core
