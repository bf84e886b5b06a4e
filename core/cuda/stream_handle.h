#pragma once

struct CUstream_st;

namespace core::cuda {

/// cudaStream_t, for headers that do without CUDA's own.
using StreamHandle = CUstream_st*;

}  // namespace core::cuda
