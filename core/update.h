#pragma once
#include <array>
#include <cmath>
#include "core/device.h"

namespace core {

/// How weights follow from a gradient g, with torch.optim's formulas.
enum class Rule {
  /// g += decay w;  v = momentum v + g;  w -= rate (nesterov ? g + momentum v : v)
  sgd,
  /// g += decay w;  m = momentum m + (1 - momentum) g;  v = second v + (1 - second) g^2;
  /// w -= rate m' / (sqrt(v') + epsilon), with m' = m / (1 - momentum^t) and v' = v / (1 -
  /// second^t)
  /// (Kingma, Ba 2015)
  adam,
  /// As adam, but for the decay, which is decoupled: w -= rate decay w beforehand (Loshchilov,
  /// Hutter 2019)
  adamw,
};

/// One step of an optimizer. What changes from step to step lies on the device, so that a recorded
/// step (Device::capture) reads what it holds when it is replayed.
struct UpdateRule {
  Rule kind = Rule::sgd;
  double momentum = 0;    ///< Adam's beta1; SGD at 0 does not touch `first`, which may be empty
  double second = 0.999;  ///< Adam's beta2
  double epsilon = 1e-8;  ///< Adam's
  double decay = 0;
  bool nesterov = false;  ///< SGD's
  /// (4), f64: what make_step_scalars gives.
  Tensor step_scalars;
  /// (1), f64: multiplies the gradient; empty: 1. At 0 nothing changes, bit for bit, whatever the
  /// gradient: a step whose gradient is not finite is skipped so.
  Tensor gradient_scale;
  uint64_t seed = 0;  ///< of stochastic rounding
};

/// The arrays of a parameter, or of some of its rows, all of one shape (rows, ...). With f32
/// gradients w, first and second may each be bf16: they are computed in f32 and rounded
/// stochastically, as changes are often too small for rounding to nearest.
struct UpdateState {
  Tensor w;       ///< master weights, or bf16 weights
  Tensor first;   ///< SGD's velocity, Adam's first moment; or empty
  Tensor second;  ///< Adam's second moment; or empty
  Tensor copy;    ///< bf16, w rounded to nearest for compute; or empty
};

/// UpdateRule::step_scalars of step `step`, from 1: the rate, 1 - momentum^step and 1 -
/// second^step, which correct Adam's moments, and the step, which keys stochastic rounding.
inline std::array<double, 4> make_step_scalars(UpdateRule const& rule, double rate, int64_t step) {
  auto const t = static_cast<double>(step);
  return {rate, 1 - std::pow(rule.momentum, t), 1 - std::pow(rule.second, t), t};
}

/// The same on a device.
inline Tensor make_step_scalars(Device& device, UpdateRule const& rule, double rate, int64_t step) {
  Tensor t(device, {4}, Dtype::f64);
  device.upload(make_step_scalars(rule, rate, step).data(), t);
  return t;
}

}  // namespace core
