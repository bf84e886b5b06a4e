// Kernel launches: queued on their stream, and run by the simulator.
#include "core/check.h"
#include "tests/support/fake_cuda/streams.h"
#include "tests/support/host_cuda/simulator.h"

namespace tests::fake_cuda {
namespace {

/// The error that the launch leaves, or finds, is thrown as core/cuda/language.cuh does.
void launch(CUstream_st* stream, host_cuda::Launch const& kernel) {
  enqueue(stream, "kernel", [kernel] {
    host_cuda::run(kernel);
    return true;
  });
  auto const error = take_last_error();
  core::check(error.empty(), {"CUDA: ", kernel.at}, error);
}

[[maybe_unused]] bool const launches_are_queued = [] {
  host_cuda::set_queue(launch);
  return true;
}();

}  // namespace
}  // namespace tests::fake_cuda
