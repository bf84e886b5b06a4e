#pragma once
// The subset of CUDA used by Colonnade's kernels, for a host compiler. Kernels that are to run on
// the host must not use anything else (inline PTX, cooperative groups, CUB, tensor cores, half
// types).
#include <atomic>
#include <bit>
#include <cstring>
#include <type_traits>
#include "core/cuda/stream_handle.h"
#include "tests/support/host_cuda/simulator.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
// One instance for all blocks, which run in sequence, or one per host thread if several threads
// share the blocks. AddressSanitizer puts red zones around plain statics only.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define __shared__ static
#else
#define __shared__ static thread_local
#endif

#define threadIdx (::tests::host_cuda::builtins.thread)
#define blockIdx (::tests::host_cuda::builtins.block)
#define blockDim (::tests::host_cuda::builtins.block_size)
#define gridDim (::tests::host_cuda::builtins.grid_size)
inline constexpr int warpSize = 32;

namespace tests::host_cuda {

/// Types that CUDA can shuffle.
template <class T>
concept Shuffled = std::is_arithmetic_v<T> &&(sizeof(T) == 4 || sizeof(T) == 8);

template <Shuffled T>
T shuffle(Op op, unsigned mask, T value, int operand, int width, core::Place at) {
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = Block::current().meet({op, at, mask, bits, operand, width});
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

inline unsigned ballot(unsigned mask, bool holds, core::Place at) {
  return static_cast<unsigned>(Block::current().meet({Op::ballot, at, mask, holds}));
}

inline void barrier(Call const& call) {
  auto const& skipped = settings().skipped_barrier;
  if (!skipped || *skipped != Site(call.at)) Block::current().meet(call);
}

/// A stream, and the source position of the call that passes it.
struct Caller {
  core::cuda::StreamHandle stream;
  core::Place at;
  Caller(core::cuda::StreamHandle stream, core::Place at = core::Place::here())
      : stream(stream), at(at) {}
};

}  // namespace tests::host_cuda

inline void __syncthreads(core::Place at = core::Place::here()) {
  tests::host_cuda::barrier({tests::host_cuda::Op::syncthreads, at});
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu, core::Place at = core::Place::here()) {
  tests::host_cuda::barrier({tests::host_cuda::Op::syncwarp, at, mask});
}

template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32,
              core::Place at = core::Place::here()) {
  return shuffle(tests::host_cuda::Op::shfl, mask, value, lane, width, at);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32,
                 core::Place at = core::Place::here()) {
  return shuffle(tests::host_cuda::Op::shfl_up, mask, value, int(distance), width, at);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32,
                   core::Place at = core::Place::here()) {
  return shuffle(tests::host_cuda::Op::shfl_down, mask, value, int(distance), width, at);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32,
                  core::Place at = core::Place::here()) {
  return shuffle(tests::host_cuda::Op::shfl_xor, mask, value, bits, width, at);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, core::Place at = core::Place::here()) {
  return tests::host_cuda::ballot(mask, predicate != 0, at);
}
inline int __any_sync(unsigned mask, int predicate, core::Place at = core::Place::here()) {
  return tests::host_cuda::ballot(mask, predicate != 0, at) != 0;
}
inline int __all_sync(unsigned mask, int predicate, core::Place at = core::Place::here()) {
  return tests::host_cuda::ballot(mask, predicate == 0, at) == 0;
}

template <class T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  return std::atomic_ref(*address).fetch_add(value, std::memory_order_relaxed);
}
template <class T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  std::atomic_ref const there(*address);
  T old = there.load(std::memory_order_relaxed);
  while (old < value && !there.compare_exchange_weak(old, value, std::memory_order_relaxed)) {
  }
  return old;
}
template <class T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  std::atomic_ref(*address).compare_exchange_strong(expected, value, std::memory_order_relaxed);
  return expected;
}

template <class T>
T __ldg(T const* address) {
  return *address;
}
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
template <class T>
T __ldcs(T const* address) {
  return *address;
}
template <class T>
void __stcs(T* address, T value) {
  *address = value;
}
inline int __popc(unsigned bits) { return std::popcount(bits); }
inline void __threadfence() { tests::host_cuda::fence(); }

namespace core::cuda {

/// Same as in core/cuda/language.cuh.
struct Grid {
  dim3 blocks;
  unsigned threads;
  size_t shared = 0;
};

/// Runs kernel(arguments...) on the grid: at once if the stream is null, otherwise as the queue of
/// the simulator decides.
template <class... P, class... A>
void launch(void (*kernel)(P...), Grid const& grid, tests::host_cuda::Caller caller,
            A const&... arguments) {
  tests::host_cuda::launch(caller.stream, {caller.at, grid.blocks, grid.threads, grid.shared,
                                           [=] { kernel(arguments...); }});
}

template <class T>
T* dynamic_shared() {
  return reinterpret_cast<T*>(tests::host_cuda::Block::current().dynamic_shared());
}

}  // namespace core::cuda
