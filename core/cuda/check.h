#pragma once
#include <cuda_runtime_api.h>
#include "core/check.h"

namespace core::cuda {

using core::check;

/// Throws Error that names the failure and the calling line, unless `status` is cudaSuccess.
inline void check(cudaError_t status, Place at = Place::here()) {
  if (status == cudaSuccess) [[likely]]
    return;
  cudaGetLastError();  // the exception carries it now
  fail({"CUDA: ", at}, cudaGetErrorString(status), " (", cudaGetErrorName(status), ')');
}

}  // namespace core::cuda
