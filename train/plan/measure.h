#pragma once
#include "comm/communicator.h"

/// Helpers for benchmarks: process memory, reductions over ranks, medians.
namespace train {

/// Resident memory of this process in bytes, including libraries and MPI. See proc(5).
struct ProcessMemory {
  double now = 0;   ///< current size (VmRSS)
  double peak = 0;  ///< peak size (VmHWM)
};

/// Reads the memory of this process from /proc.
/// Throws: IoError if the system does not report it.
ProcessMemory process_memory();

/// Reduces a number over all ranks. Collective.
double over_ranks(double mine, comm::Reduce how, core::Device& device, comm::Communicator& ranks);

/// Median; the upper of the two middle values if their count is even.
/// Throws: core::Error if `numbers` is empty.
double median(std::vector<double> numbers);

}  // namespace train
