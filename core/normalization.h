#pragma once
#include "core/tensor.h"

namespace core {

enum class Activation {
  none,
  relu,
  prelu,  ///< x if x > 0, else slope[channel] x (He et al. 2015)
};

/// Batch normalization with the activation after it: y = act(z + residual), z = (x - mean) /
/// sqrt(variance + epsilon) * gain + bias. All tensors: (Ch), Acc.
struct Normalization {
  Tensor mean, variance;
  double epsilon = 1e-5;
  Tensor gain, bias;
  Activation activation = Activation::none;
  Tensor slope;  ///< Activation::prelu: its slopes; otherwise empty
};

/// Source of the factor by which the activation multiplies the gradient in backward.
enum class Gate {
  open,   ///< no activation: 1
  signs,  ///< ReLU of a sum with a residual: 1 or 0, from the signs that forward stored
  relu,   ///< ReLU: 1 or 0, from z, which is computed again from x
  prelu,  ///< PReLU: 1 or the slope, from z, which is computed again from x
};

/// Shape of the signs of y (..., Ch), u8: a byte for 8 channels, whose bit j is 1 if y > 0 in
/// channel 8 k + j of byte k; or a byte per element, 1 or 0, if 8 does not divide Ch.
inline Shape signs_shape(Shape y) {
  if (y.back() % 8 == 0) y.back() /= 8;
  return y;
}

/// Calls f.operator()<gate>(). signs: empty unless forward stored them.
template <class F>
void visit_gate(Normalization const& norm, Tensor const& signs, F const& f) {
  if (signs) return f.template operator()<Gate::signs>();
  switch (norm.activation) {
    case Activation::relu:
      return f.template operator()<Gate::relu>();
    case Activation::prelu:
      return f.template operator()<Gate::prelu>();
    case Activation::none:
      return f.template operator()<Gate::open>();
  }
}

}  // namespace core
