#pragma once
#include <memory>
#include <string_view>
#include <vector>
#include "core/tensor.h"

namespace comm {

enum class Reduce { sum, max };

/// Bytes of the contents of messages that a rank exchanged with others: what it keeps for itself
/// is not counted, nor what a network adds.
struct Moved {
  int64_t sent = 0, received = 0;
  bool operator==(Moved const&) const = default;
  Moved& operator+=(Moved const& more) {
    sent += more.sent;
    received += more.received;
    return *this;
  }
};

/// A collective under way. The tensors it was given may be neither read, written nor freed before
/// `wait` returns. Waiting orders streams; on CUDA it does not block the host. Throws core::Error
/// when the collective failed.
class Pending {
 public:
  virtual ~Pending() = default;
  virtual void wait() = 0;
  /// What it moved, good once `wait` has returned: over MPI the messages that were exchanged, over
  /// NCCL, which does not tell, those of a direct exchange (moved_by).
  virtual Moved moved() const = 0;
};

using PendingPtr = std::unique_ptr<Pending>;

/// Rows of each rank of a tensor that is split along its first axis; may hold zeros.
using Counts = std::vector<int64_t>;

/// Sizes of the contiguous parts when `total` things are dealt to `ranks`: the first
/// total % ranks get one more.
Counts split_evenly(int64_t total, int ranks);

/// Sum of counts[0 .. rank): where that rank's rows begin; of all of them with rank = size.
int64_t begin_of(Counts const& counts, int rank);

/// A group of ranks that call the same collectives in the same order.
///
/// Every call is asynchronous on the process's one communication stream: it starts after the work
/// already queued on the tensors' compute stream. Sizes are checked before anyone enters, so a
/// mistake throws on every rank. Messages may pass 2^31 bytes. A sum has the same bits on every
/// rank, and in every run on the same machines. Over MPI its order is that of the ranks.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// t := the reduction of every rank's t, in place. f32, f64, i32, i64; same shape everywhere.
  [[nodiscard]] virtual PendingPtr all_reduce(core::Tensor& t, Reduce how) = 0;

  /// all (sum of counts, ...) := every rank's `mine` (counts[rank], ...), in rank order. Any dtype.
  [[nodiscard]] virtual PendingPtr all_gather(core::Tensor const& mine, Counts const& counts,
                                              core::Tensor& all) = 0;

  /// mine (counts[rank], ...) := the sum over ranks of that part of their `all` (sum of counts,
  /// ...). f32 or f64.
  [[nodiscard]] virtual PendingPtr reduce_scatter(core::Tensor const& all, Counts const& counts,
                                                  core::Tensor& mine) = 0;

  /// Rows of `out` go to ranks by `send`, rows of `in` come from ranks by `receive`. Any dtype.
  [[nodiscard]] virtual PendingPtr all_to_all(core::Tensor const& out, Counts const& send,
                                              core::Tensor& in, Counts const& receive) = 0;

  /// t := the t of rank `root`. Any dtype.
  [[nodiscard]] virtual PendingPtr broadcast(core::Tensor& t, int root) = 0;

  /// Returns when every rank has called it.
  virtual void barrier() = 0;

  /// The ranks that pass the same `color`, ordered by their rank here.
  virtual std::unique_ptr<Communicator> split(int color) = 0;

  /// These ranks, whose collectives are counted under `label` where anybody counts (Metered). As
  /// good for as long as this.
  virtual Communicator& named(std::string_view /*label*/) { return *this; }

  /// all (size, ...) := every rank's `mine` (...), stacked in rank order.
  [[nodiscard]] PendingPtr all_gather(core::Tensor const& mine, core::Tensor& all);
};

}  // namespace comm
