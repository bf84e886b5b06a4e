#pragma once
#include <type_traits>
#include "core/tensor.h"

namespace core {

/// Calls f.operator()<T>() with the C++ type of an accumulator dtype: float or double.
/// Throws: Error for other dtypes.
template <class F>
void visit_wide(Dtype dtype, F const& f) {
  check(dtype == Dtype::f32 || dtype == Dtype::f64, "expected f32 or f64, got ", dtype);
  dtype == Dtype::f32 ? f.template operator()<float>() : f.template operator()<double>();
}

/// Calls f.operator()<T, R>() with T the type of the computation (dtype) and R the type of the
/// result (rounded): either the same floating type, or f32 and bf16.
/// Throws: Error for other combinations.
template <class F>
void visit_rounded(Dtype dtype, Dtype rounded, F const& f) {
  if (dtype == Dtype::f32 && rounded == Dtype::bf16) return f.template operator()<float, bf16>();
  check(dtype == rounded, "expected equal dtypes, or f32 and bf16; got ", dtype, " and ", rounded);
  visit_floating(dtype, [&]<class T>() { f.template operator()<T, T>(); });
}

/// Calls f with the flag as a compile-time constant (std::true_type or std::false_type), so that
/// inner loops do not branch.
template <class F>
void with(bool flag, F const& f) {
  flag ? f(std::true_type{}) : f(std::false_type{});
}

/// Returns a pointer to the elements, or null for an empty tensor (none).
template <class T>
T* data_or_null(Tensor& t) {
  return t ? t.data<T>() : nullptr;
}
template <class T>
T const* data_or_null(Tensor const& t) {
  return t ? t.data<T>() : nullptr;
}

}  // namespace core
