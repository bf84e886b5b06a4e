#pragma once
#include <functional>
#include "comm/communicator.h"
#include "comm/nccl/transfers.h"
#include "comm/timeout.h"
#include "core/cuda/stream_handle.h"

namespace comm {

/// Owns the ncclComm of a group of ranks. Used by the rank's thread; aborted by another one.
///
/// The ncclComm is non-blocking: no NCCL call waits for other ranks, except an abort. A missing
/// rank is therefore detected here, and a call in progress delays an abort only briefly.
class NcclGroup {
 public:
  /// Collective. Joins the ranks of `hosts`, each with the current GPU of the calling thread.
  /// Throws: Timeout if they have not joined within `timeout` (0: no limit); core::Error with
  /// NCCL's message if it fails.
  NcclGroup(Communicator& hosts, Clock::duration timeout);
  /// Collective, unless the group was aborted. Waits until graphs with its collectives are
  /// destroyed.
  ~NcclGroup();
  NcclGroup(NcclGroup const&) = delete;
  NcclGroup& operator=(NcclGroup const&) = delete;

  /// Enqueues all transfers in `stream`.
  /// Throws: core::Error if NCCL fails or the group was aborted; Timeout if other ranks do not
  /// respond.
  void enqueue(Transfers const& transfers, core::cuda::StreamHandle stream);

  /// Returns NCCL's message for an asynchronous error; empty if there is none.
  std::string error();

  /// Stops any further use. Returns a function that aborts all collectives in flight. It blocks
  /// until graphs with collectives of the group are destroyed: call it in a thread of its own. It
  /// may outlive the group. To abort several groups, call their functions between ncclGroupStart
  /// and ncclGroupEnd: a collective of one group may be queued behind one that hangs in another.
  std::function<void()> abandon() noexcept;

 private:
  struct State;
  /// Waits until the latest NCCL call has completed.
  void settle();
  void close();

  Clock::duration timeout_;
  std::shared_ptr<State> state_;  // shared with the abort
};

}  // namespace comm
