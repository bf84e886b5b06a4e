#pragma once
#include <cmath>
#include "core/math/exp.h"
#include "core/math/host_device.h"

/// The softmax over classes that are read piece by piece.
namespace core::math {

/// What a sum of exponentials is measured from, so that it cannot overflow: the maximum, or 0 where
/// there is none (no classes, or all -inf).
template <class W>
COLONNADE_HD W reference(W max) {
  return std::isfinite(max) ? max : W(0);
}

/// Maximum of some logits z, and the sum of exp(z - reference(max)). None: {-inf, 0}.
template <class W>
struct SoftmaxSum {
  W max, sum;
};

template <class W>
COLONNADE_HD SoftmaxSum<W> merge(SoftmaxSum<W> const& a, SoftmaxSum<W> const& b) {
  W const max = a.max < b.max ? b.max : a.max, ref = reference(max);
  W const scale_a = std::isfinite(a.max) ? exp(a.max - ref) : W(0);
  W const scale_b = std::isfinite(b.max) ? exp(b.max - ref) : W(0);
  return {max, a.sum * scale_a + b.sum * scale_b};
}

/// Log of the sum of exp over all the logits.
template <class W>
COLONNADE_HD W log_sum_exp(SoftmaxSum<W> const& s) {
  return reference(s.max) + std::log(s.sum);
}

}  // namespace core::math
