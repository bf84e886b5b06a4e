#pragma once
#include "core/math/host_device.h"

/// L2 normalization: vectors divided by their Euclidean norm.
namespace core::math {

/// Divisor of a vector with this norm: max(norm, 1e-12), so that a zero vector stays zero.
template <class Acc>
COLONNADE_HD Acc l2_divisor(Acc norm) {
  constexpr Acc least = static_cast<Acc>(1e-12);
  return norm > least ? norm : least;
}

/// Gradient with respect to one element of x, from y = x / divisor and dot = <y, dy>.
template <class Acc>
COLONNADE_HD Acc l2_backward(Acc y, Acc dy, Acc dot, Acc divisor) {
  return (dy - y * dot) / divisor;
}

}  // namespace core::math
