#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include "core/check.h"
#include "core/math/host_device.h"
#ifdef __CUDACC__
#include <cuda_bf16.h>
#endif

namespace core {

/// bfloat16: the upper 16 bits of an f32, with an 8-bit exponent and 8 significant bits. Conversion
/// from f32 rounds to nearest, ties to even.
struct bf16 {
  uint16_t bits = 0;

  bf16() = default;
  COLONNADE_HD explicit bf16(float value) {
#ifdef __CUDA_ARCH__
    bits = __bfloat16_as_ushort(__float2bfloat16_rn(value));
#else
    auto const wide = std::bit_cast<uint32_t>(value);
    uint32_t const rounded = (wide + 0x7FFFu + ((wide >> 16) & 1u)) >> 16;
    bool const nan = (wide & 0x7FFFFFFFu) > 0x7F800000u;  // rounding could carry a NaN into inf
    bits = static_cast<uint16_t>(nan ? (wide >> 16) | 0x40u : rounded);
#endif
  }
  COLONNADE_HD operator float() const {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
};

enum class Dtype { f32, f64, bf16, i32, i64, u8 };

/// Size of one element, in bytes.
constexpr size_t size_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
    case Dtype::i32:
      return 4;
    case Dtype::f64:
    case Dtype::i64:
      return 8;
    case Dtype::bf16:
      return 2;
    case Dtype::u8:
      return 1;
  }
  return 0;
}

constexpr char const* name(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return "f32";
    case Dtype::f64:
      return "f64";
    case Dtype::bf16:
      return "bf16";
    case Dtype::i32:
      return "i32";
    case Dtype::i64:
      return "i64";
    case Dtype::u8:
      return "u8";
  }
  return "?";
}

inline std::ostream& operator<<(std::ostream& out, Dtype dtype) { return out << name(dtype); }

constexpr bool is_floating(Dtype dtype) {
  return dtype == Dtype::f32 || dtype == Dtype::f64 || dtype == Dtype::bf16;
}

/// Dtype of sums over values of `dtype`, and of the statistics and parameters (bias, gain) that
/// accompany activations of `dtype`: f64 for f64, f32 for f32 and bf16.
constexpr Dtype accumulator(Dtype dtype) { return dtype == Dtype::f64 ? Dtype::f64 : Dtype::f32; }

template <class T>
inline constexpr Dtype dtype_of = [] {
  static_assert(sizeof(T) == 0, "not an element type");
  return Dtype::f32;
}();
template <>
inline constexpr Dtype dtype_of<float> = Dtype::f32;
template <>
inline constexpr Dtype dtype_of<double> = Dtype::f64;
template <>
inline constexpr Dtype dtype_of<bf16> = Dtype::bf16;
template <>
inline constexpr Dtype dtype_of<int32_t> = Dtype::i32;
template <>
inline constexpr Dtype dtype_of<int64_t> = Dtype::i64;
template <>
inline constexpr Dtype dtype_of<uint8_t> = Dtype::u8;

/// Calls f.operator()<T>() with the C++ type of a floating dtype.
/// Throws: Error for integer dtypes.
template <class F>
decltype(auto) visit_floating(Dtype dtype, F&& f) {
  switch (dtype) {
    case Dtype::f32:
      return f.template operator()<float>();
    case Dtype::f64:
      return f.template operator()<double>();
    case Dtype::bf16:
      return f.template operator()<bf16>();
    default:
      fail("expected a floating dtype, got ", dtype);
  }
}

/// Calls f.operator()<T>() with the C++ type of a dtype that converts to a floating dtype: f32,
/// f64, bf16 or u8.
/// Throws: Error for i32 and i64.
template <class F>
void visit_source(Dtype dtype, F&& f) {
  if (dtype == Dtype::u8)
    f.template operator()<uint8_t>();
  else
    visit_floating(dtype, f);
}

/// Calls f.operator()<T>() with the C++ type of any dtype.
template <class F>
decltype(auto) visit(Dtype dtype, F&& f) {
  switch (dtype) {
    case Dtype::i32:
      return f.template operator()<int32_t>();
    case Dtype::i64:
      return f.template operator()<int64_t>();
    case Dtype::u8:
      return f.template operator()<uint8_t>();
    default:
      return visit_floating(dtype, f);
  }
}

}  // namespace core
