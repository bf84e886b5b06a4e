#pragma once
#include <optional>
#include "tests/support/fake_cuda/nccl.h"

namespace tests::fake_cuda {

/// Records the rank of this process: that in its first communicator.
void set_process_rank(int rank);
/// Counts a call, and returns the failure of it if it is to fail.
std::optional<Fault> next_call();
std::chrono::milliseconds patience();

}  // namespace tests::fake_cuda
