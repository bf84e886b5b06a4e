#pragma once
#include <algorithm>
#include <cstring>
#include "core/cpu/parallel.h"
#include "core/normalization.h"

namespace core::cpu {

/// Rows of signs (signs_shape) of a tensor with `width` channels. Bits are packed and unpacked in
/// pieces, because a loop over single bits is not vectorized.
class SignRows {
 public:
  SignRows(Tensor const& signs, int64_t width)
      : data_(signs ? const_cast<uint8_t*>(signs.data<uint8_t>()) : nullptr), width_(width) {}

  int64_t width() const { return width_; }

  /// Stores the signs of a row: positive(c) returns true if that of channel c is positive.
  template <class F>
  void store(int64_t row, F const& positive) const {
    each_piece(row, [&](uint8_t* signs, int64_t begin, int64_t n) {
      uint8_t flags[piece];
      simd(0, n,
           [=, at = static_cast<uint8_t*>(flags)](int64_t c) { at[c] = positive(begin + c); });
      if (packed())
        pack(flags, n, signs);
      else
        std::copy_n(flags, n, signs);
    });
  }

  /// Calls f(c, flag) for each channel of a row, vectorized; flag is nonzero if its sign is
  /// positive.
  template <class F>
  void load(int64_t row, F const& f) const {
    each_piece(row, [&](uint8_t const* signs, int64_t begin, int64_t n) {
      uint8_t flags[piece];
      if (packed())
        unpack(signs, n, flags);
      else
        std::copy_n(signs, n, flags);
      simd(0, n, [=, at = static_cast<uint8_t const*>(flags)](int64_t c) { f(begin + c, at[c]); });
    });
  }

 private:
  static constexpr int64_t piece = 512;  // channels, a multiple of 8

  bool packed() const { return width_ % 8 == 0; }

  /// Calls f(signs, begin, n) for pieces of a row: signs of n channels from `begin` on.
  template <class F>
  void each_piece(int64_t row, F const& f) const {
    int64_t const in_byte = packed() ? 8 : 1;
    for (int64_t begin = 0; begin < width_; begin += piece)
      f(data_ + (row * width_ + begin) / in_byte, begin, std::min(piece, width_ - begin));
  }

  /// Moves bit 0 of byte j of eight bytes to bit j of one. The factor's bit 56 - 7 j moves bit 8 j
  /// to 56 + j; no other products reach the upper byte, and none carries.
  static void pack(uint8_t const* flags, int64_t n, uint8_t* signs) {
    for (int64_t at = 0; at < n; at += 8) {
      uint64_t word;
      std::memcpy(&word, flags + at, sizeof word);
      signs[at / 8] = static_cast<uint8_t>((word * 0x0102040810204080u) >> 56);
    }
  }
  static void unpack(uint8_t const* signs, int64_t n, uint8_t* flags) {
    for (int64_t at = 0; at < n; at += 8) {
      uint64_t const word = (signs[at / 8] * 0x0101010101010101u) & 0x8040201008040201u;
      std::memcpy(flags + at, &word, sizeof word);
    }
  }

  uint8_t* data_;
  int64_t width_;
};

/// Calls f(c, flag) for each channel of a row, vectorized. flag: SignRows::load; 1 without stored
/// signs.
template <Gate gate, class F>
void for_channels(SignRows const& signs, int64_t row, F const& f) {
  if constexpr (gate == Gate::signs)
    signs.load(row, f);
  else
    simd(0, signs.width(), [=](int64_t c) { f(c, uint8_t{1}); });
}

}  // namespace core::cpu
