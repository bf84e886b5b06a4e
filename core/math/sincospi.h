#pragma once
#include <cstdint>
#include "core/math/host_device.h"

namespace core::math {

/// Point on the unit circle.
struct SinCos {
  float cos, sin;
};

/// Cosine and sine of 2 pi t for t in [0, 1], without branches; error within 1e-7.
/// t is reduced exactly to the nearest quarter turn; the remainder by the polynomials of Cephes'
/// sinf.
COLONNADE_HD inline SinCos sincospi(float t) {
  auto const quarter = static_cast<int32_t>(4 * t + 0.5f);
  float const angle = (t - 0.25f * static_cast<float>(quarter)) * 6.28318530718f;
  float const square = angle * angle;
  float s = -1.9515295891e-4f;
  s = s * square + 8.3321608736e-3f;
  s = s * square - 1.6666654611e-1f;
  s = s * square * angle + angle;
  float c = 2.443315711809948e-5f;
  c = c * square - 1.388731625493765e-3f;
  c = c * square + 4.166664568298827e-2f;
  c = c * square * square - 0.5f * square + 1;
  bool const odd = quarter & 1;
  float const x = odd ? s : c, y = odd ? c : s;
  return {(quarter + 1) & 2 ? -x : x, quarter & 2 ? -y : y};
}

}  // namespace core::math
