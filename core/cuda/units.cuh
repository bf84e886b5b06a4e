#pragma once
#include "core/cuda/map.cuh"

namespace core::cuda {

/// Calls f.operator()<Unit>() with the largest type whose size divides all sizes, strides and
/// addresses; `bits` is their bitwise or.
template <class F>
void visit_unit(uint64_t bits, F const& f) {
  if (bits % 16 == 0) return f.template operator()<Pack<uint32_t, 4>>();
  if (bits % 8 == 0) return f.template operator()<uint64_t>();
  if (bits % 4 == 0) return f.template operator()<uint32_t>();
  if (bits % 2 == 0) return f.template operator()<uint16_t>();
  f.template operator()<uint8_t>();
}

}  // namespace core::cuda
