#pragma once
#include "core/dtype.h"
#include "core/random.h"

/// Stochastic rounding of f32 to bf16: rounds up with the probability that makes the expected value
/// exact.
namespace core::math {

/// Bijective hash of 32 bits: lowbias32 from Chris Wellons' hash prospector. Each input bit changes
/// each output bit with a probability of almost exactly 1/2.
COLONNADE_HD inline uint32_t mix(uint32_t x) {
  x = (x ^ (x >> 16)) * 0x7FEB352Du;
  x = (x ^ (x >> 15)) * 0x846CA68Bu;
  return x ^ (x >> 16);
}

/// Random bits of one element: 16 for each of the tensors that an optimizer step writes.
struct RoundingBits {
  uint32_t bits;

  COLONNADE_HD uint32_t weight() const { return bits & 0xFFFFu; }
  COLONNADE_HD uint32_t first() const { return bits >> 16; }
  COLONNADE_HD uint32_t second() const { return mix(bits) >> 16; }
};

/// Random bits of an optimizer step, as a function of the element's index: a hash, much cheaper
/// than Philox, with a random key for each step.
class Rounding {
 public:
  Rounding() = default;  ///< uninitialized, for shared memory
  COLONNADE_HD Rounding(uint64_t seed, double step) {
    auto const key = random_block({seed, Purpose::rounding, static_cast<uint64_t>(step)}, 0);
    before_ = key[0];
    between_ = key[1];
  }

  COLONNADE_HD RoundingBits operator()(uint64_t element) const {
    auto const low = static_cast<uint32_t>(element), high = static_cast<uint32_t>(element >> 32);
    return {mix(mix(low ^ before_) ^ (high * 0x9E3779B9u + between_))};
  }

 private:
  uint32_t before_, between_;
};

/// Rounds x to one of the two neighboring bf16 values. `bits`: 16 random bits; the magnitude is
/// rounded up if adding them to the 16 dropped bits of x carries. Infinities and NaN stay.
COLONNADE_HD inline bf16 round_randomly(float x, uint32_t bits) {
  auto const wide = std::bit_cast<uint32_t>(x);
  bf16 rounded;
  rounded.bits = static_cast<uint16_t>((wide + bits) >> 16);
  bool const finite = (wide & 0x7F800000u) != 0x7F800000u;
  return finite ? rounded : bf16(x);
}

}  // namespace core::math
