#pragma once
// The only header that files with kernels include for the CUDA language. Compilers other than nvcc
// get the simulator of tests/support, which runs the same kernels on the host.
#ifdef __CUDACC__
#include <cuda_runtime.h>
#include "core/cuda/check.h"
#include "core/cuda/stream_handle.h"

namespace core::cuda {

/// Launch configuration.
struct Grid {
  dim3 blocks;
  unsigned threads;   ///< threads per block
  size_t shared = 0;  ///< dynamic shared memory per block, in bytes
};

/// Queues kernel(arguments...) on the stream.
/// Throws: Error if the launch itself fails.
template <class... P, class... A>
void launch(void (*kernel)(P...), Grid const& grid, StreamHandle stream, A const&... arguments) {
  kernel<<<grid.blocks, grid.threads, grid.shared, stream>>>(arguments...);
  check(cudaGetLastError());
}

/// Returns the block's dynamic shared memory.
template <class T>
__device__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char shared_bytes[];
  return reinterpret_cast<T*>(shared_bytes);
}

}  // namespace core::cuda
#else
#include <host_cuda/language.h>
#endif
