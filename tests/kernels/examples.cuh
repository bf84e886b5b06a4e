#pragma once
#include <cstdint>
#include "core/cuda/language.cuh"

/// Small correct kernels in which every barrier is required.
namespace tests::kernels {

inline constexpr unsigned full = 0xFFFFFFFFu, block_threads = 64;

template <class T>
__global__ void saxpy(T a, T const* x, T* y, int64_t n) {
  int64_t const step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step)
    y[i] += a * x[i];
}

template <class T>
__device__ T sum_of_thread(T const* x, int64_t n) {
  T sum = 0;
  int64_t const step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step)
    sum += x[i];
  return sum;
}

/// sums[b] := sum of the elements visited by block b of block_threads, by tree reduction.
template <class T>
__global__ void block_sums(T const* x, int64_t n, T* sums) {
  __shared__ T part[block_threads];
  part[threadIdx.x] = sum_of_thread(x, n);
  __syncthreads();
  for (unsigned half = block_threads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = part[0];
}

/// sums[w] := sum of the elements visited by warp w of the grid.
template <class T>
__global__ void warp_sums(T const* x, int64_t n, T* sums) {
  T sum = sum_of_thread(x, n);
  for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(full, sum, bits);
  if (threadIdx.x % 32 == 0) sums[(blockIdx.x * blockDim.x + threadIdx.x) / 32] = sum;
}

/// kept := the multiples of 3 in x, in order; count := their number. Launch one block, with one int
/// of dynamic shared memory per warp.
template <class T>
__global__ void compact(T const* x, int n, T* kept, int* count) {
  int* const of_warp = core::cuda::dynamic_shared<int>();
  unsigned const warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  int begin = 0;
  for (int first = 0; first < n; first += static_cast<int>(blockDim.x)) {
    int const i = first + static_cast<int>(threadIdx.x);
    bool const keep = i < n && x[i] % 3 == 0;
    unsigned const votes = __ballot_sync(full, keep);
    if (lane == 0) of_warp[warp] = __popc(votes);
    __syncthreads();
    int before = 0, all = 0;
    for (unsigned w = 0; w < blockDim.x / 32; ++w) {
      before += w < warp ? of_warp[w] : 0;
      all += of_warp[w];
    }
    if (keep) kept[begin + before + __popc(votes & ((1u << lane) - 1))] = x[i];
    begin += all;
    __syncthreads();
  }
  if (threadIdx.x == 0) *count = begin;
}

/// y := x reversed, for one block of n threads with n elements of dynamic shared memory.
template <class T>
__global__ void reverse(T const* x, T* y) {
  T* const block = core::cuda::dynamic_shared<T>();
  block[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = block[blockDim.x - 1 - threadIdx.x];
}

}  // namespace tests::kernels
