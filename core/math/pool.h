#pragma once
#include <cstdint>
#include "core/math/host_device.h"

namespace core::math {

/// Max pooling: returns true if a pixel replaces the best one before it in the window, whose index
/// is `place` (-1: none). A NaN always replaces it, so it reaches the result.
template <class Acc>
COLONNADE_HD bool pool_wins(Acc value, Acc best, int32_t place) {
  return value > best || value != value || place < 0;
}

}  // namespace core::math
