#pragma once
#include "core/random.h"

namespace train {

/// A pseudorandom permutation of [0, size) that uses no memory: each element is computed
/// independently. It is a Feistel network on pairs (row, column) with addition modulo the numbers
/// of rows and columns; results outside the range are encrypted again (cycle walking).
/// Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002, section 5.
class Permutation {
 public:
  /// Throws: core::Error unless `size` is in [0, 2^50].
  Permutation(int64_t size, core::RandomKey const& key);

  /// Returns the element at index `place`, in [0, size).
  /// Throws: core::Error if `place` is out of range.
  int64_t operator()(int64_t place) const;

 private:
  uint64_t encrypt(uint64_t value) const;

  uint64_t size_, rows_, columns_;
  core::RandomKey key_;
};

}  // namespace train
