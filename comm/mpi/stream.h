#pragma once
#include <atomic>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>
#include "comm/timeout.h"
#include "core/tensor.h"

namespace comm {

class Operation;

/// The process's communication stream: collectives run one after another in the order they were
/// pushed.
///
/// MPI moves data only inside its own calls. A thread of the stream makes them, with short sleeps
/// between, while nobody waits, so that communication goes on below computation; a thread that
/// waits makes them itself, without sleeping, so that waiting costs no change of threads.
class Stream {
 public:
  /// `timeout`: how long a rank waits without any message arriving before it gives up; 0 is for
  /// ever.
  explicit Stream(Clock::duration timeout);
  /// Every operation has ended before.
  ~Stream();
  Stream(Stream const&) = delete;
  Stream& operator=(Stream const&) = delete;

  Clock::duration timeout() const { return timeout_; }

  void push(Operation& operation);
  /// Returns when the operation has ended, well or with an error.
  void wait(Operation& operation);

  /// For the operation that is moved on: memory that the next one may reuse.
  std::byte* scratch(size_t bytes) {
    if (scratch_.size() < bytes) scratch_.resize(bytes);
    return scratch_.data();
  }

 private:
  void run();
  /// Moves the first operation on, with `mutex_` held. False when nothing has changed.
  bool advance();
  /// With `mutex_` held: every operation fails, and those to come.
  void give_up(std::exception_ptr const& reason);

  std::mutex mutex_;  // the queue, the state of its operations, and MPI's calls for them
  std::deque<Operation*> queue_;
  std::vector<std::byte> scratch_;
  Clock::duration timeout_;
  Clock::time_point moved_;  // when something last changed
  std::exception_ptr given_up_;
  std::vector<std::vector<core::Tensor>> abandoned_;  // MPI might still write to them
  std::atomic<int> waiting_ = 0;                      // threads in wait()
  std::atomic<bool> stop_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace comm
