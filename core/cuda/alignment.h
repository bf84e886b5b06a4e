#pragma once
#include <cstdint>
#include <initializer_list>

namespace core::cuda {

/// Returns the largest power of two, at most `most` (a power of two), that divides all addresses.
inline int64_t common_alignment(std::initializer_list<void const*> addresses, int64_t most) {
  auto bits = static_cast<uintptr_t>(most);
  for (void const* address : addresses) bits |= reinterpret_cast<uintptr_t>(address);
  return static_cast<int64_t>(bits & (~bits + 1));  // lowest set bit
}

}  // namespace core::cuda
