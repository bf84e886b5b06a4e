#pragma once
#include <algorithm>
#include "core/cpu/parallel.h"
#include "core/random.h"

namespace core::cpu {

/// Number of Philox blocks computed in parallel, enough to hide the latency of multiplication, and
/// the number of random numbers that they contain.
inline constexpr int64_t random_lanes = 64, random_tile = 4 * random_lanes;

/// Writes the random_tile numbers of a stream from number tile * random_tile on.
inline void fill_tile(RandomKey const& key, uint64_t tile, uint32_t* numbers) {
  uint32_t c0[random_lanes], c1[random_lanes], c2[random_lanes], c3[random_lanes];
  for (uint64_t lane = 0; lane < random_lanes; ++lane) {
    auto const counter = random_counter(key, tile * random_lanes + lane);
    c0[lane] = counter[0], c1[lane] = counter[1], c2[lane] = counter[2], c3[lane] = counter[3];
  }
  auto k0 = static_cast<uint32_t>(key.seed), k1 = static_cast<uint32_t>(key.seed >> 32);
  for (int round = 0; round < 10; ++round, k0 += philox_step0, k1 += philox_step1) {
#pragma omp simd
    for (int lane = 0; lane < random_lanes; ++lane)
      philox_round(c0[lane], c1[lane], c2[lane], c3[lane], k0, k1);
  }
#pragma omp simd
  for (size_t lane = 0; lane < random_lanes; ++lane) {
    numbers[4 * lane] = c0[lane];
    numbers[4 * lane + 1] = c1[lane];
    numbers[4 * lane + 2] = c2[lane];
    numbers[4 * lane + 3] = c3[lane];
  }
}

/// Calls f(numbers, i, n) for pieces of [0, count): element i + j uses numbers[j], j < n. The
/// numbers are those of the stream from number `first` on, converted to floats by convert(bits,
/// floats), one tile at a time.
template <class Convert, class F>
void for_random(RandomKey const& key, int64_t first, int64_t count, Convert const& convert,
                F const& f) {
  int64_t const offset = first % random_tile, start = first / random_tile;
  for_blocks(offset + count, 256 * random_tile, [&](int64_t begin, int64_t end) {
    uint32_t bits[random_tile];
    float numbers[random_tile];
    for (int64_t at = begin; at < end; at += random_tile) {
      fill_tile(key, static_cast<uint64_t>(start + at / random_tile), bits);
      convert(bits, numbers);
      int64_t const from = std::max(at, offset), to = std::min(at + random_tile, end);
      if (from < to) f(numbers + (from - at), from - offset, to - from);
    }
  });
}

}  // namespace core::cpu
