#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include "core/math/host_device.h"

namespace core::math {

/// e^x without branches or tables, so that loops over it are vectorized. Error within 1 ulp for x
/// in [-87.33, 88.37]; 0 below (no denormal results), infinity above. NaN stays NaN.
/// x = n log 2 + r with |r| <= log(2) / 2 (Cody, Waite 1980); e^r by the polynomial of Cephes'
/// expf.
COLONNADE_HD inline float exp(float x) {
  constexpr float lowest = -87.3365f, highest = 88.3762f;
  constexpr float rounder = 0x1.8p23f;  // adding it shifts the fraction out of the significand
  constexpr float log2_high = 0.693359375f, log2_low = -2.12194440e-4f;
  float const shifted = x * 1.44269504f + rounder;
  float const n = shifted - rounder;
  float const r = (x - n * log2_high) - n * log2_low;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1;
  // The low bits of `shifted` hold n; the left shift into the exponent drops its other bits.
  auto const power = std::bit_cast<float>((std::bit_cast<uint32_t>(shifted) + 127u) << 23);
  float const y = p * power;
  return x < lowest ? 0.0f : (x > highest ? HUGE_VALF : y);
}

COLONNADE_HD inline double exp(double x) { return std::exp(x); }

}  // namespace core::math
