#pragma once

struct CUstream_st;

namespace core::cuda {

/// cudaStream_t, for headers that do not include CUDA's headers.
using StreamHandle = CUstream_st*;

}  // namespace core::cuda
