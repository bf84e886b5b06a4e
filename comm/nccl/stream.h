#pragma once
#include <atomic>
#include <thread>
#include <vector>
#include "comm/nccl/group.h"
#include "comm/nccl/watchdog.h"
#include "core/cuda/device.h"

namespace comm {

/// The process's communication stream on its GPU, shared by all NCCL groups: collectives run in the
/// order in which they were called, so two ranks cannot run two of them in different order. A
/// thread watches the collectives in flight.
///
/// Supports graph capture (Device::capture): events then become edges of the graph. The watchdog
/// watches each replay as a whole, as if it were one collective; its collectives run after every
/// collective that has been waited for.
class NcclStream final : Transport {
 public:
  using Event = std::shared_ptr<CUevent_st>;

  /// `timeout`: maximum duration of a collective, from when the GPU reaches it; 0: no limit.
  /// `device` must outlive this object.
  NcclStream(core::cuda::Cuda& device, Clock::duration timeout);
  ~NcclStream() override;
  NcclStream(NcclStream const&) = delete;
  NcclStream& operator=(NcclStream const&) = delete;

  core::cuda::Cuda& device() const { return device_; }
  core::cuda::StreamHandle handle() const { return device_.communication_stream(); }
  Clock::duration timeout() const { return timeout_; }
  Watchdog& watchdog() { return watchdog_; }

  /// Orders later work on this stream after the work now queued on the compute stream. The returned
  /// event marks the end of that work.
  Event follow_compute();
  /// Returns an event that marks the end of the work now queued here.
  Event mark() { return mark(handle()); }
  /// Orders later work on the compute stream after `mark`. Does not block the host.
  void precede_compute(Event const& mark) const;
  /// True during graph capture.
  bool recording() const;

  /// Collective. Joins the ranks of `hosts` to a group, which is watched for errors until it is
  /// destroyed. The group owns the stream too.
  /// Throws: as NcclGroup's constructor.
  static std::shared_ptr<NcclGroup> join(std::shared_ptr<NcclStream> const& stream,
                                         Communicator& hosts);

 private:
  struct Events;
  Event event();
  Event mark(core::cuda::StreamHandle stream);
  void replay(std::function<void()> const& launch);
  void run();
  std::string error() override;
  void end() override;

  core::cuda::Cuda& device_;
  Clock::duration timeout_;
  std::shared_ptr<Events> events_;  // outlives events that are still watched
  std::mutex mutex_;                // guards groups_
  std::vector<NcclGroup*> groups_;
  Watchdog watchdog_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;    // calls run()
  std::thread aborting_;  // aborts the groups after a failure
};

/// Work of the GPU between two events; it has ended when both have been reached.
struct BetweenEvents : WatchedCollective {
  NcclStream::Event ready, done;
  bool begun() const override { return core::cuda::reached(ready.get()); }
  bool ended() const override { return core::cuda::reached(done.get()); }
};

}  // namespace comm
