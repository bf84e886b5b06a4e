#pragma once
#include "core/random.h"

namespace train {

/// A permutation of the numbers below `size`, drawn at random by its key, that takes no memory:
/// each place is computed alone. A Feistel network on pairs (a number below `rows`, one below
/// `columns`), with additions modulo both; what leaves the range is sent through again. Black and
/// Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002, section 5.
class Permutation {
 public:
  Permutation(int64_t size, core::RandomKey const& key);

  /// What stands at `place`, in [0, size).
  int64_t operator()(int64_t place) const;

 private:
  uint64_t encrypt(uint64_t value) const;

  uint64_t size_, rows_, columns_;
  core::RandomKey key_;
};

}  // namespace train
