#pragma once
#include <atomic>
#include <mutex>
#include "comm/communicator.h"
#include "comm/nccl/transfers.h"
#include "comm/timeout.h"
#include "core/cuda/stream_handle.h"

struct ncclComm;

namespace comm {

/// NCCL's own communicator of a group of ranks, used by the rank's thread and ended by a watch's.
///
/// It is non-blocking: no call of NCCL waits for other ranks, so that one which does not come is
/// noticed here, and a call under way never keeps the watch from ending the group for long.
class NcclGroup {
 public:
  /// Joins the ranks of `hosts`, each with the GPU that is its thread's. Collective. Throws Timeout
  /// where they have not come together within `timeout` (0 is for ever), and core::Error with
  /// NCCL's words where they cannot.
  NcclGroup(Communicator& hosts, Clock::duration timeout);
  /// Collective, unless the group was ended.
  ~NcclGroup();
  NcclGroup(NcclGroup const&) = delete;
  NcclGroup& operator=(NcclGroup const&) = delete;

  /// Returns when all transfers stand in `stream`.
  void enqueue(Transfers const& transfers, core::cuda::StreamHandle stream);

  /// What has gone wrong by itself, in NCCL's words; empty where nothing has.
  std::string error();

  /// Ends what is under way. Between ncclGroupStart and ncclGroupEnd when several end at once: what
  /// one still waits for may stand behind what another hangs in.
  void end() noexcept;

 private:
  /// Waits until NCCL has done what it was asked last.
  void settle();
  void close();

  Clock::duration timeout_;
  std::timed_mutex mutex_;
  std::atomic<ncclComm*> comm_ = nullptr;  // null once it has been ended
};

}  // namespace comm
