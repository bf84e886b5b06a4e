#pragma once
#include <cuda_runtime_api.h>
#include "tests/support/fake_cuda/streams.h"

/// What the entry points of the CUDA runtime share.
namespace tests::fake_cuda {

/// Sets the thread's last error and returns it.
cudaError_t fail(cudaError_t error);
/// Reports a misuse as well.
cudaError_t fail(cudaError_t error, std::string const& what);
/// Invalidates the stream's capture as well.
cudaError_t invalidate(CUstream_st const* stream, cudaError_t error, std::string const& what);

/// A call of the runtime: holds the mutex, and fails if the test asked for it.
class Call {
 public:
  explicit Call(char const* name);
  cudaError_t failure = cudaSuccess;

 private:
  std::scoped_lock<std::recursive_mutex> lock_;
};

/// Calls that would wait for, or change, what a capture only records: forbidden while one is in
/// progress, which they invalidate.
cudaError_t check_safe(char const* call);
/// Fails if the stream's capture is invalid.
cudaError_t check_valid(CUstream_st const* stream);

/// Captures in progress.
std::set<Capture*>& captures();
Nodes& nodes_of_last_graph();

/// Queues an operation on a stream that is not captured.
void queue_operation(CUstream_st* stream, char const* what, std::function<Progress()> advance);

}  // namespace tests::fake_cuda

// Begins an entry point.
#define CALL                 \
  Call const call(__func__); \
  if (call.failure != cudaSuccess) return call.failure
