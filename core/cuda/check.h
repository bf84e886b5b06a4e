#pragma once
#include <cuda_runtime_api.h>
#include "core/check.h"

namespace core::cuda {

using core::check;

/// Throws: Error with the name of the failure and the calling line, unless `status` is cudaSuccess.
inline void check(cudaError_t status, Place at = Place::here()) {
  if (status == cudaSuccess) [[likely]]
    return;
  cudaGetLastError();  // clears the runtime's last error; the exception reports it
  fail({"CUDA: ", at}, cudaGetErrorString(status), " (", cudaGetErrorName(status), ')');
}

}  // namespace core::cuda
