#pragma once
#include <bit>
#include <cstdint>
#include "core/math/host_device.h"

namespace core::math {

/// Natural logarithm of a positive, finite, normal x, without branches; error within 1 ulp.
/// x = 2^n m with m in [sqrt(1/2), sqrt(2)); log(m) by the polynomial of Cephes' logf.
COLONNADE_HD inline float log_normal(float x) {
  constexpr uint32_t root_half = 0x3F3504F3u;
  constexpr float log2_high = 0.693359375f, log2_low = -2.12194440e-4f;
  auto const bits = std::bit_cast<uint32_t>(x);
  int32_t const n = static_cast<int32_t>(bits - root_half) >> 23;
  float const f = std::bit_cast<float>(bits - (static_cast<uint32_t>(n) << 23)) - 1;
  float p = 7.0376836292e-2f;
  p = p * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  float const square = f * f;
  float const tail = p * f * square + static_cast<float>(n) * log2_low - 0.5f * square;
  return static_cast<float>(n) * log2_high + (f + tail);
}

}  // namespace core::math
