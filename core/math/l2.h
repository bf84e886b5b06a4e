#pragma once
#include "core/math/host_device.h"

/// Vectors divided by their Euclidean norm.
namespace core::math {

/// What a vector of this norm is divided by: a zero vector stays zero.
template <class Acc>
COLONNADE_HD Acc l2_divisor(Acc norm) {
  constexpr Acc least = static_cast<Acc>(1e-12);
  return norm > least ? norm : least;
}

/// The gradient in an element, from y = x / divisor and dot = <y, dy>.
template <class Acc>
COLONNADE_HD Acc l2_backward(Acc y, Acc dy, Acc dot, Acc divisor) {
  return (dy - y * dot) / divisor;
}

}  // namespace core::math
