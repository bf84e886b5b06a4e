#pragma once
#include "comm/communicator.h"

/// What benchmarks ask of a process and its ranks.
namespace train {

/// Bytes of this process in RAM: libraries, MPI and all. VmRSS and VmHWM of proc(5).
struct ProcessMemory {
  double now = 0;
  double peak = 0;  ///< the most there were at once
};

/// Throws IoError where the system does not tell.
ProcessMemory process_memory();

/// The reduction of every rank's number.
double over_ranks(double mine, comm::Reduce how, core::Device& device, comm::Communicator& ranks);

/// The one in the middle, the upper of two; of at least one.
double median(std::vector<double> numbers);

}  // namespace train
