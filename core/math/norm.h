#pragma once
#include <cmath>
#include "core/math/host_device.h"

/// Formulas of batch normalisation (Ioffe, Szegedy 2015), per element of a channel.
namespace core::math {

/// Number of elements, their mean, and their sum of squared differences from it.
template <class W>
struct Moments {
  W count, mean, squares;
};

/// Moments of the union (Chan, Golub, LeVeque 1983). An empty part changes nothing.
template <class W>
COLONNADE_HD Moments<W> merge(Moments<W> const& a, Moments<W> const& b) {
  W const count = a.count + b.count;
  W const share = count > 0 ? b.count / count : 0;
  W const gap = b.mean - a.mean;
  return {count, a.mean + share * gap, a.squares + b.squares + gap * gap * a.count * share};
}

template <class W>
COLONNADE_HD W inverse_deviation(W variance, W epsilon) {
  return 1 / std::sqrt(variance + epsilon);
}

/// `factor` is gain / deviation. The mean is taken off first: folding it into the bias would cost
/// the digits that mean and x share.
template <class W>
COLONNADE_HD W normalised(W x, W mean, W factor, W bias) {
  return (x - mean) * factor + bias;
}

/// The gradient in x from g, that in the result: `mean_g` and `slope` are the means over the batch
/// of g, and of g xhat divided by the deviation.
template <class W>
COLONNADE_HD W normalised_backward(W g, W x, W mean, W factor, W mean_g, W slope) {
  return factor * (g - mean_g - (x - mean) * slope);
}

}  // namespace core::math
