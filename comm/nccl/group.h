#pragma once
#include <atomic>
#include <mutex>
#include "comm/communicator.h"
#include "comm/nccl/transfers.h"
#include "comm/timeout.h"
#include "core/cuda/stream_handle.h"

struct ncclComm;

namespace comm {

/// Owns the ncclComm of a group of ranks. Used by the rank's thread; aborted by the watchdog's.
///
/// The ncclComm is non-blocking: no NCCL call waits for other ranks. A missing rank is therefore
/// detected here, and a call in progress delays an abort only briefly.
class NcclGroup {
 public:
  /// Collective. Joins the ranks of `hosts`, each with the current GPU of the calling thread.
  /// Throws: Timeout if they have not joined within `timeout` (0: no limit); core::Error with
  /// NCCL's message if it fails.
  NcclGroup(Communicator& hosts, Clock::duration timeout);
  /// Collective, unless the group was aborted.
  ~NcclGroup();
  NcclGroup(NcclGroup const&) = delete;
  NcclGroup& operator=(NcclGroup const&) = delete;

  /// Enqueues all transfers in `stream`.
  /// Throws: core::Error if NCCL fails or the group was aborted; Timeout if other ranks do not
  /// respond.
  void enqueue(Transfers const& transfers, core::cuda::StreamHandle stream);

  /// Returns NCCL's message for an asynchronous error; empty if there is none.
  std::string error();

  /// Aborts all collectives in flight. To abort several groups, call it between ncclGroupStart and
  /// ncclGroupEnd: a collective of one group may be queued behind one that hangs in another.
  void end() noexcept;

 private:
  /// Waits until the latest NCCL call has completed.
  void settle();
  void close();

  Clock::duration timeout_;
  std::timed_mutex mutex_;
  std::atomic<ncclComm*> comm_ = nullptr;  // null after an abort
};

}  // namespace comm
