#pragma once
#include <type_traits>
#include "core/dtype.h"

namespace core::math {

/// Accumulator type: the C++ type of sums over values of type T, that of accumulator(dtype_of<T>).
template <class T>
using Accumulator = std::conditional_t<std::is_same_v<T, double>, double, float>;

}  // namespace core::math
