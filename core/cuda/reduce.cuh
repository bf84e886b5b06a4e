#pragma once
#include <bit>
#include <cstdint>
#include "core/cuda/language.cuh"

/// What the threads of a warp or a block have, combined in an order that the number of threads
/// fixes.
namespace core::cuda {

inline constexpr unsigned warp_size = 32;

__device__ inline unsigned lane_of_warp() { return threadIdx.x % warp_size; }

struct Plus {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

/// NaN is passed over, as a second operand.
struct Larger {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

/// The value of the lane whose number differs in `bits`; of any type of 32-bit words.
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

/// The values of a warp's lanes. All lanes get the same but for rounding; the first lane's counts
/// where f(a, b) and f(b, a) may round apart.
template <class T, class F>
__device__ T reduce_warp(T value, F const& f) {
#pragma unroll
  for (int bits = warp_size / 2; bits > 0; bits /= 2) value = f(value, of_partner(value, bits));
  return value;
}

/// The values of a block's threads, of which there are whole warps; all get the same. The block has
/// to meet at another barrier before it reduces with the same f again.
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
