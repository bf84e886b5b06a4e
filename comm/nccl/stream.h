#pragma once
#include <atomic>
#include <thread>
#include <vector>
#include "comm/nccl/group.h"
#include "comm/nccl/watchdog.h"
#include "core/cuda/device.h"

namespace comm {

/// The process's communication stream on its GPU, which NCCL's groups share: their collectives run
/// in the order in which they were asked for, so that no two ranks can run two of them in different
/// order. A thread watches over those that are under way.
///
/// Works while work is recorded (Device::capture): events then become edges of the graph. Of
/// recorded collectives nothing is known when they are replayed but what NCCL says by itself; they
/// come after all that have been waited for.
class NcclStream final : Transport {
 public:
  using Event = std::shared_ptr<CUevent_st>;

  /// `timeout`: how long a collective may take once the GPU has come to it; 0 is for ever. The
  /// device outlives this.
  NcclStream(core::cuda::Cuda& device, Clock::duration timeout);
  ~NcclStream() override;
  NcclStream(NcclStream const&) = delete;
  NcclStream& operator=(NcclStream const&) = delete;

  core::cuda::Cuda& device() const { return device_; }
  core::cuda::StreamHandle handle() const { return device_.communication_stream(); }
  Clock::duration timeout() const { return timeout_; }
  Watchdog& watchdog() { return watchdog_; }

  /// What is queued on the compute stream comes before all that is queued here after this call; the
  /// event tells when it is done.
  Event follow_compute();
  /// Tells when all that is queued here now is done.
  Event mark();
  /// What is queued on the compute stream after this call comes after `mark`. The host goes on.
  void precede_compute(Event const& mark) const;
  /// True while the work queued is recorded instead of run.
  bool recording() const;

  /// From its joining to its end a group is watched.
  void add(NcclGroup& group);
  void remove(NcclGroup& group);

 private:
  struct Events;
  Event event();
  void run();
  std::string error() override;
  void end() override;

  core::cuda::Cuda& device_;
  Clock::duration timeout_;
  std::shared_ptr<Events> events_;  // outlives events that are still watched
  std::mutex mutex_;                // the groups
  std::vector<NcclGroup*> groups_;
  Watchdog watchdog_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace comm
