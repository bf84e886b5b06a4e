#include "core/cuda/ignored.h"
#include <atomic>
#include <cstdio>

namespace core::cuda {
namespace {

std::atomic_flag printed;

}  // namespace

void ignore(cudaError_t status, char const* call) noexcept {
  if (status == cudaSuccess) [[likely]]
    return;
  cudaGetLastError();
  if (!printed.test_and_set())
    std::fprintf(stderr, "colonnade: warning: %s failed: %s (%s); later failures are not shown\n",
                 call, cudaGetErrorString(status), cudaGetErrorName(status));
}

}  // namespace core::cuda
