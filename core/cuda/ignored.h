#pragma once
#include <cuda_runtime_api.h>

namespace core::cuda {

/// Takes the status of a call whose failure cannot be thrown, because a destructor made the call.
/// Clears the runtime's last error: the next kernel launch would report it as its own. Prints the
/// first failure of the process to stderr.
void ignore(cudaError_t status, char const* call) noexcept;

}  // namespace core::cuda
