#pragma once
#include <cstdint>
#include <initializer_list>

namespace core::cuda {

/// Bytes that all these addresses are multiples of: `most`, a power of two, or a smaller one.
inline int64_t common_alignment(std::initializer_list<void const*> addresses, int64_t most) {
  auto bits = static_cast<uintptr_t>(most);
  for (void const* address : addresses) bits |= reinterpret_cast<uintptr_t>(address);
  return static_cast<int64_t>(bits & (~bits + 1));  // the lowest bit
}

}  // namespace core::cuda
