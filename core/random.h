#pragma once
#include <array>
#include <cmath>
#include <cstdint>
#include "core/math/host_device.h"
#include "core/math/log.h"
#include "core/math/sincospi.h"

namespace core {

/// Purpose of a random stream. Streams with different purposes share no numbers.
enum class Purpose : uint32_t {
  weights = 1,
  head_weights = 2,
  order = 3,
  augmentation = 4,
  dropout = 5,
  synthetic = 6,
  shown_samples = 7,
  rounding = 8,
  classes = 9,
  word_order = 10,
};

/// Identifies one random stream. The key contains neither rank nor thread, so the numbers do not
/// depend on them either.
/// `item` is a counter whose meaning depends on the purpose: parameter, epoch, or step and layer.
struct RandomKey {
  uint64_t seed = 0;
  Purpose purpose = Purpose::weights;
  uint64_t item = 0;
};

/// One round of Philox4x32: the counter (c0 .. c3) under the round's key (k0, k1).
COLONNADE_HD inline void philox_round(uint32_t& c0, uint32_t& c1, uint32_t& c2, uint32_t& c3,
                                      uint32_t k0, uint32_t k1) {
  uint64_t const a = uint64_t{0xD2511F53u} * c0;
  uint64_t const b = uint64_t{0xCD9E8D57u} * c2;
  c0 = static_cast<uint32_t>(b >> 32) ^ c1 ^ k0;
  c2 = static_cast<uint32_t>(a >> 32) ^ c3 ^ k1;
  c1 = static_cast<uint32_t>(b);
  c3 = static_cast<uint32_t>(a);
}

/// Constants added to the two halves of the key after each round.
inline constexpr uint32_t philox_step0 = 0x9E3779B9u, philox_step1 = 0xBB67AE85u;

/// Philox4x32-10: four 32-bit numbers for a 128-bit counter and a 64-bit key.
/// Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
COLONNADE_HD inline std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter,
                                                   std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    philox_round(counter[0], counter[1], counter[2], counter[3], key[0], key[1]);
    key = {key[0] + philox_step0, key[1] + philox_step1};
  }
  return counter;
}

/// The 128-bit counter of block `block` of a stream: purpose and item fill its upper half.
COLONNADE_HD inline std::array<uint32_t, 4> random_counter(RandomKey const& key, uint64_t block) {
  // The item must be below 2^56; the top byte holds the purpose.
  uint64_t const upper = key.item | (static_cast<uint64_t>(key.purpose) << 56);
  return {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
          static_cast<uint32_t>(upper), static_cast<uint32_t>(upper >> 32)};
}

/// Returns numbers 4 * block .. 4 * block + 3 of a stream. The seed is the key of Philox.
COLONNADE_HD inline std::array<uint32_t, 4> random_block(RandomKey const& key, uint64_t block) {
  return philox(random_counter(key, block),
                {static_cast<uint32_t>(key.seed), static_cast<uint32_t>(key.seed >> 32)});
}

/// Converts 32 random bits to a float in [0, 1) with 24 random bits.
COLONNADE_HD inline float uniform(uint32_t bits) {
  return static_cast<float>(bits >> 8) * 0x1p-24f;
}

/// Two independent standard normal numbers from two 32-bit random numbers (Box, Muller 1958).
struct NormalPair {
  float x, y;
};
COLONNADE_HD inline NormalPair normal_pair(uint32_t a, uint32_t b) {
  // 1 - u is in (0, 1], so the logarithm is finite
  float const radius = std::sqrt(-2.0f * math::log_normal(1.0f - uniform(a)));
  auto const [cos, sin] = math::sincospi(uniform(b));
  return {radius * cos, radius * sin};
}

/// Sequential reader of a random stream, for host code.
class Random {
 public:
  explicit Random(RandomKey key, uint64_t first_block = 0) : key_(key), block_(first_block) {}

  uint32_t bits() {
    if (used_ == 4) {
      numbers_ = random_block(key_, block_++);
      used_ = 0;
    }
    return numbers_[used_++];
  }
  /// Returns a number in [0, 1).
  float uniform() { return core::uniform(bits()); }
  /// Returns a number in [low, high).
  float uniform(float low, float high) { return low + (high - low) * uniform(); }
  float normal() {
    uint32_t const a = bits();
    return normal_pair(a, bits()).x;
  }
  /// Returns an integer in [0, bound), bound > 0: the upper half of 64 random bits times the bound.
  /// The bias is below bound / 2^64.
  uint64_t below(uint64_t bound) {
    uint64_t const high = bits();
    uint64_t const wide = (high << 32) | bits();
    __extension__ using UInt128 = unsigned __int128;
    return static_cast<uint64_t>((static_cast<UInt128>(wide) * bound) >> 64);
  }

 private:
  RandomKey key_;
  uint64_t block_;
  std::array<uint32_t, 4> numbers_{};
  unsigned used_ = 4;
};

}  // namespace core
