#pragma once
#include <cmath>
#include "core/math/host_device.h"

/// Conversions of random numbers to distributions. Multiply-adds are fused explicitly, for the same
/// bits on every device.
namespace core::math {

/// Uniform distribution in [low, high), from u in [0, 1).
struct Uniform {
  float low, width, last;

  Uniform(double low, double high)
      : low(static_cast<float>(low)),
        width(static_cast<float>(high) - static_cast<float>(low)),
        last(std::nextafter(static_cast<float>(high), static_cast<float>(low))) {}

  COLONNADE_HD float operator()(float u) const {
    float const x = std::fma(width, u, low);
    return x < last ? x : last;  // rounding must not return `high`
  }
};

/// Normal distribution, from a standard normal number z.
struct Normal {
  float mean, stddev;
  COLONNADE_HD float operator()(float z) const { return std::fma(stddev, z, mean); }
};

/// Dropout: u in [0, 1) selects whether x is dropped. `kept` is 1 / (1 - probability), the factor
/// of kept elements.
template <class Acc>
struct Dropout {
  float probability;
  Acc kept;
  template <class T>
  COLONNADE_HD T operator()(float u, T x) const {
    return u < probability ? T(0) : T(kept * x);
  }
};

}  // namespace core::math
