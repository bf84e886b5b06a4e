#pragma once
#include <bit>
#include <cstdint>
#include "core/cuda/language.cuh"

/// Reductions over the threads of a warp or block, in an order that depends only on the number of
/// threads.
namespace core::cuda {

inline constexpr unsigned warp_size = 32;

__device__ inline unsigned lane_of_warp() { return threadIdx.x % warp_size; }

struct Plus {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

/// Maximum; a NaN as the second operand is ignored.
struct Larger {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

/// Returns the value of the lane whose index differs in `bits`; any type that consists of 32-bit
/// words.
template <class T>
__device__ T of_partner(T const& value, int bits) {
  static_assert(sizeof(T) % 4 == 0);
  struct Words {
    uint32_t at[sizeof(T) / 4];
  };
  Words words = std::bit_cast<Words>(value);
#pragma unroll
  for (uint32_t& word : words.at) word = __shfl_xor_sync(0xFFFFFFFFu, word, bits);
  return std::bit_cast<T>(words);
}

/// Reduces the values of a warp's lanes. All lanes return the same result up to rounding; use that
/// of lane 0 if f(a, b) and f(b, a) may round differently.
template <class T, class F>
__device__ T reduce_warp(T value, F const& f) {
#pragma unroll
  for (int bits = warp_size / 2; bits > 0; bits /= 2) value = f(value, of_partner(value, bits));
  return value;
}

/// Reduces the values of a block's threads; all threads return the same result. The block must
/// consist of whole warps, and must pass another barrier before it reduces with the same f again.
template <class T, class F>
__device__ T reduce_block(T value, F const& f) {
  __shared__ T of_warps[1024 / warp_size];
  value = reduce_warp(value, f);
  if (lane_of_warp() == 0) of_warps[threadIdx.x / warp_size] = value;
  __syncthreads();
  value = of_warps[0];
  for (unsigned warp = 1; warp < blockDim.x / warp_size; ++warp) value = f(value, of_warps[warp]);
  return value;
}

}  // namespace core::cuda
