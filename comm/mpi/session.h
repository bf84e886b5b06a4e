#pragma once
#include <functional>
#include <memory>
#include "comm/mpi/stream.h"
#include "comm/timeout.h"

namespace comm {

/// Initializes MPI for the lifetime of main() and owns the process's one communication stream. Must
/// outlive everything that communicates.
class Session {
 public:
  /// `timeout`: maximum time to wait for other ranks in a collective before it throws Timeout; 0:
  /// no limit. The default is longer than the work that one rank does alone, such as writing a
  /// file. Throws: core::Error if MPI fails to start or lacks MPI_THREAD_MULTIPLE.
  Session(int& argc, char**& argv, Clock::duration timeout = std::chrono::minutes(10));
  ~Session();
  Session(Session const&) = delete;
  Session& operator=(Session const&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// This rank's index among the ranks of its host, and their number. Used to choose a GPU.
  int local_rank() const { return local_rank_; }
  int local_size() const { return local_size_; }
  Stream& stream() { return *stream_; }

  /// Terminates every rank of the run; mpirun returns `exit_code`.
  [[noreturn]] void abort(int exit_code);

  /// Runs `body`, which returns this rank's exit code, and waits until it has returned on all
  /// ranks. If it throws, calls `report`, which returns the exit code, and terminates all ranks,
  /// because others may be waiting for this one in a collective.
  int run(std::function<int()> const& body,
          std::function<int(std::exception const&)> const& report);

 private:
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1;
  std::unique_ptr<Stream> stream_;
};

}  // namespace comm
