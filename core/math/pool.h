#pragma once
#include <cstdint>
#include "core/math/host_device.h"

namespace core::math {

/// True where a pixel takes the lead of a window from the best before it, which is at `place`, -1
/// for none. NaN shows.
template <class Acc>
COLONNADE_HD bool pool_wins(Acc value, Acc best, int32_t place) {
  return value > best || value != value || place < 0;
}

}  // namespace core::math
