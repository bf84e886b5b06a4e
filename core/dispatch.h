#pragma once
#include <type_traits>
#include "core/tensor.h"

namespace core {

/// Calls f.operator()<T>() with the C++ type of a Wide dtype, f32 or f64. Throws Error for others.
template <class F>
void visit_wide(Dtype dtype, F const& f) {
  check(dtype == Dtype::f32 || dtype == Dtype::f64, "expected f32 or f64, got ", dtype);
  dtype == Dtype::f32 ? f.template operator()<float>() : f.template operator()<double>();
}

/// Calls f with the flag as a constant, so that inner loops do not branch.
template <class F>
void with(bool flag, F const& f) {
  flag ? f(std::true_type{}) : f(std::false_type{});
}

/// The elements, or null for no tensor.
template <class T>
T* data_or_null(Tensor& t) {
  return t ? t.data<T>() : nullptr;
}
template <class T>
T const* data_or_null(Tensor const& t) {
  return t ? t.data<T>() : nullptr;
}

}  // namespace core
