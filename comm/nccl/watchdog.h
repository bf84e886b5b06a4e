#pragma once
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include "comm/timeout.h"

namespace comm {

/// A collective that a device executes asynchronously.
class WatchedCollective {
 public:
  virtual ~WatchedCollective() = default;
  /// Name for messages: "all_reduce of f32 on rank 1 of 4".
  virtual std::string name() const = 0;
  /// True once the device has reached it: all preceding work of this rank is done.
  virtual bool begun() const = 0;
  /// True once the device has completed it.
  virtual bool ended() const = 0;
};

/// The library that runs collectives (NCCL), as seen by the watchdog.
class Transport {
 public:
  virtual ~Transport() = default;
  /// Returns the library's message for an asynchronous error; empty if there is none.
  virtual std::string error() = 0;
  /// Aborts all collectives, so that nothing waits for them any longer.
  /// Throws: nothing.
  virtual void end() = 0;
};

/// Detects failed asynchronous collectives: the transport reports an error, or a collective exceeds
/// the timeout. After a failure every collective of the process fails, and `check` throws the
/// reason, so that the output of an aborted collective is never used.
///
/// Collectives of a stream run one after another. The time of the first one in flight counts, from
/// when the device reached it; computation before it has no time limit.
class Watchdog {
 public:
  /// `timeout`: maximum duration of a collective, from when the device reaches it; 0: no limit.
  Watchdog(Transport& transport, Clock::duration timeout)
      : transport_(transport), timeout_(timeout) {}

  /// Adds a collective in flight, queued after the previous ones.
  void add(std::shared_ptr<WatchedCollective const> collective);

  /// Checks the transport and the collectives in flight. To be called repeatedly, by a dedicated
  /// thread.
  void look(Clock::time_point now);

  /// Fails all collectives with `reason`, unless they have failed already.
  void fail(std::exception_ptr const& reason);

  /// Throws: the failure, Timeout or core::Error, if there was one.
  void check() const;

 private:
  /// Returns the failure detected by `now`, or null. Requires `mutex_`.
  std::exception_ptr find_fault(Clock::time_point now);
  std::string describe_first() const;

  Transport& transport_;
  Clock::duration timeout_;
  mutable std::mutex mutex_;
  std::deque<std::shared_ptr<WatchedCollective const>> under_way_;
  std::string last_;                        // name of the last completed collective
  std::optional<Clock::time_point> begun_;  // when the first one in flight was seen to have begun
  std::exception_ptr failure_;
};

}  // namespace comm
