#pragma once
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include "comm/timeout.h"

namespace comm {

/// A collective on a stream that a device works off by itself.
class WatchedCollective {
 public:
  virtual ~WatchedCollective() = default;
  /// For people: "all_reduce of f32 on rank 1 of 4".
  virtual std::string name() const = 0;
  /// The device has come to it: what it was to follow on this rank is done.
  virtual bool begun() const = 0;
  virtual bool ended() const = 0;
};

/// What carries collectives out, as the watch deals with it.
class Transport {
 public:
  virtual ~Transport() = default;
  /// What has gone wrong by itself, in the library's words; empty where nothing has.
  virtual std::string error() = 0;
  /// Ends all collectives, done or not, so that nobody waits for them any more. Never throws.
  virtual void end() = 0;
};

/// Finds out that collectives have failed which run without the host's help: by the carrier's word,
/// or since one has not ended in time. After it no collective of the process works any more, and
/// `check` says why: what an aborted collective leaves in its tensors is never taken for a result.
///
/// Collectives of a stream run one after another, so time is that of the first under way, from
/// when the device has come to it: a rank may compute for as long as it likes.
class Watchdog {
 public:
  /// `timeout`: how long a collective may take once the device has come to it; 0 is for ever.
  Watchdog(Transport& transport, Clock::duration timeout)
      : transport_(transport), timeout_(timeout) {}

  /// One more is under way, after those before it.
  void add(std::shared_ptr<WatchedCollective const> collective);

  /// Looks at the carrier and at what is under way. Called again and again, by a thread of its own.
  void look(Clock::time_point now);

  /// Everything fails, for this reason, unless it has failed for another before.
  void fail(std::exception_ptr const& reason);

  /// Throws what has gone wrong: Timeout or core::Error.
  void check() const;

 private:
  /// With `mutex_` held: what is wrong by now, or null.
  std::exception_ptr find_fault(Clock::time_point now);
  std::string describe_first() const;

  Transport& transport_;
  Clock::duration timeout_;
  mutable std::mutex mutex_;
  std::deque<std::shared_ptr<WatchedCollective const>> under_way_;
  std::string last_;                        // the name of the one that ended last
  std::optional<Clock::time_point> begun_;  // when the first under way was seen to have begun
  std::exception_ptr failure_;
};

}  // namespace comm
