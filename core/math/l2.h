#pragma once
#include "core/math/host_device.h"

/// Vectors divided by their Euclidean norm.
namespace core::math {

/// What a vector of this norm is divided by: a zero vector stays zero.
template <class W>
COLONNADE_HD W l2_divisor(W norm) {
  constexpr W least = static_cast<W>(1e-12);
  return norm > least ? norm : least;
}

/// The gradient in an element, from y = x / divisor and dot = <y, dy>.
template <class W>
COLONNADE_HD W l2_backward(W y, W dy, W dot, W divisor) {
  return (dy - y * dot) / divisor;
}

}  // namespace core::math
