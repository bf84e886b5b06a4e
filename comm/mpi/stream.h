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

/// The process's communication stream: collectives run one after another in the order in which they
/// were pushed.
///
/// MPI moves data only inside its own calls. While no thread waits, a background thread makes these
/// calls, with short sleeps in between, so that communication overlaps computation. A thread that
/// waits makes them itself, without sleeping, which avoids a thread switch.
class Stream {
 public:
  /// `timeout`: maximum time to wait without receiving any message; 0: no limit.
  explicit Stream(Clock::duration timeout);
  /// All operations must have ended.
  ~Stream();
  Stream(Stream const&) = delete;
  Stream& operator=(Stream const&) = delete;

  Clock::duration timeout() const { return timeout_; }

  void push(Operation& operation);
  /// Returns when the operation has ended, successfully or not.
  void wait(Operation& operation);

  /// Scratch memory for the current operation; the next one may reuse it.
  std::byte* scratch(size_t bytes) {
    if (scratch_.size() < bytes) scratch_.resize(bytes);
    return scratch_.data();
  }

 private:
  void run();
  /// Advances the first operation. Requires `mutex_`. Returns false if nothing changed.
  bool advance();
  /// Fails all queued operations and all later ones. Requires `mutex_`.
  void give_up(std::exception_ptr const& reason);

  std::mutex mutex_;  // guards the queue, the state of its operations, and their MPI calls
  std::deque<Operation*> queue_;
  std::vector<std::byte> scratch_;
  Clock::duration timeout_;
  Clock::time_point moved_;  // time of the last progress
  std::exception_ptr given_up_;
  std::vector<std::vector<core::Tensor>> abandoned_;  // MPI might still write to them
  std::atomic<int> waiting_ = 0;                      // threads in wait()
  std::atomic<bool> stop_ = false;
  std::thread thread_;  // last member, because it uses the others
};

}  // namespace comm
