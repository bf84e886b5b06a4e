#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include "core/math/elementwise.h"
#include "core/math/host_device.h"
#include "core/normalization.h"

/// Formulas of batch normalization (Ioffe, Szegedy 2015), per element of a channel.
namespace core::math {

/// Number of elements, mean, and sum of squared differences from the mean.
template <class Acc>
struct Moments {
  Acc count, mean, squares;
};

/// Returns the moments of the union of two sets (Chan, Golub, LeVeque 1983). An empty set changes
/// nothing.
template <class Acc>
COLONNADE_HD Moments<Acc> merge(Moments<Acc> const& a, Moments<Acc> const& b) {
  Acc const count = a.count + b.count;
  Acc const share = count > 0 ? b.count / count : 0;
  Acc const gap = b.mean - a.mean;
  return {count, a.mean + share * gap, a.squares + b.squares + gap * gap * a.count * share};
}

/// Sums over elements of x - shift and of (x - shift)^2.
template <class Acc>
struct ShiftedSums {
  Acc shift, sum, squares;
  COLONNADE_HD void add(Acc x) {
    Acc const gap = x - shift;
    sum += gap;
    squares += gap * gap;
  }
};

/// Converts the sums over `count` > 0 elements to moments. The shift must be one of the elements:
/// the sum of squares is then less than count + 1 times the result, so few digits cancel whatever
/// the mean is.
template <class Acc>
COLONNADE_HD Moments<double> moments_of(ShiftedSums<Acc> const& sums, int64_t count) {
  auto const n = static_cast<double>(count);
  double const gap = sums.sum / n, squares = sums.squares - gap * sums.sum;
  return {n, sums.shift + gap, squares < 0 ? 0 : squares};
}

/// Kernels::merge_statistics for channel c.
template <class Acc>
struct MergeChannel {
  Acc const* parts;  ///< (count, 3, width)
  int64_t count, width;
  Acc momentum;
  Acc *merged, *running_mean, *running_variance;

  COLONNADE_HD void operator()(int64_t c) const {
    Moments<double> all{0, 0, 0};
    for (int64_t p = 0; p < count; ++p) {
      Acc const* const part = parts + 3 * width * p + c;
      all = merge(all, Moments<double>{part[0], part[width], part[2 * width]});
    }
    merged[c] = static_cast<Acc>(all.count);
    merged[width + c] = static_cast<Acc>(all.mean);
    merged[2 * width + c] = static_cast<Acc>(all.squares / std::max(all.count, 1.0));
    auto const mean = static_cast<Acc>(all.mean);
    auto const unbiased = static_cast<Acc>(all.squares / std::max(all.count - 1, 1.0));
    if (all.count == 0 || !std::isfinite(mean) || !std::isfinite(unbiased)) return;
    running_mean[c] += momentum * (mean - running_mean[c]);
    running_variance[c] += momentum * (unbiased - running_variance[c]);
  }
};

template <class Acc>
COLONNADE_HD Acc inverse_deviation(Acc variance, Acc epsilon) {
  return 1 / std::sqrt(variance + epsilon);
}

/// Normalizes one element; `factor` is gain / deviation. The mean is subtracted first: folding it
/// into the bias would lose the digits that mean and x share.
template <class Acc>
COLONNADE_HD Acc batch_norm(Acc x, Acc mean, Acc factor, Acc bias) {
  return (x - mean) * factor + bias;
}

/// Gradient with respect to z from dy. With Gate::signs, any positive number takes the place of a
/// positive z.
template <Gate gate, class Acc>
COLONNADE_HD Acc gated(Acc z, Acc dy, Acc slope) {
  if constexpr (gate == Gate::open) return dy;
  if constexpr (gate == Gate::prelu) return prelu_slope(z, slope) * dy;
  return z > 0 ? dy : Acc(0);
}

/// Gradient with respect to x from g, the gradient with respect to z. `mean_g` is the mean
/// over the batch of g; `slope` is the mean of g xhat, divided by the deviation.
template <class Acc>
COLONNADE_HD Acc batch_norm_backward(Acc g, Acc x, Acc mean, Acc factor, Acc mean_g, Acc slope) {
  return factor * (g - mean_g - (x - mean) * slope);
}

}  // namespace core::math
