#pragma once
#include <functional>
#include <memory>
#include "comm/mpi/stream.h"
#include "comm/timeout.h"

namespace comm {

/// MPI for the life of main(), and the process's one communication stream. Everything that
/// communicates dies before it.
class Session {
 public:
  /// `timeout`: how long a rank waits for a message in a collective before it throws Timeout; 0 is
  /// for ever.
  Session(int& argc, char**& argv, Clock::duration timeout = {});
  ~Session();
  Session(Session const&) = delete;
  Session& operator=(Session const&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// This rank's place among the ranks of its host, and how many they are: which GPU to take.
  int local_rank() const { return local_rank_; }
  int local_size() const { return local_size_; }
  Stream& stream() { return *stream_; }

  /// Ends every rank of the run; mpirun gives `exit_code`.
  [[noreturn]] void abort(int exit_code);

  /// body(): what this rank does; gives its exit code. Returns when all ranks have come to the end
  /// of theirs. When it throws, `report` is told and gives the exit code, and all ranks are ended:
  /// the others may wait for this one in a collective.
  int run(std::function<int()> const& body,
          std::function<int(std::exception const&)> const& report);

 private:
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1;
  std::unique_ptr<Stream> stream_;
};

}  // namespace comm
