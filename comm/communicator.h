#pragma once
#include <memory>
#include <string_view>
#include <vector>
#include "core/tensor.h"

namespace comm {

enum class Reduce { sum, max };

/// Payload bytes exchanged with other ranks. Excludes data that a rank keeps for itself and the
/// protocol overhead of the network.
struct Moved {
  int64_t sent = 0, received = 0;
  bool operator==(Moved const&) const = default;
  Moved& operator+=(Moved const& more) {
    sent += more.sent;
    received += more.received;
    return *this;
  }
};

/// A collective in flight. Its tensors must not be read, written or freed before `wait` returns.
class Pending {
 public:
  virtual ~Pending() = default;
  /// On CUDA, orders the compute stream after the collective without blocking the host; otherwise
  /// blocks until the collective has ended.
  /// Throws: core::Error if the collective failed; Timeout if other ranks did not join in time.
  virtual void wait() = 0;
  /// Bytes moved, valid after `wait` has returned. MPI: the messages that were exchanged. NCCL,
  /// which does not report them: the messages of a direct exchange (`moved_by`).
  virtual Moved moved() const = 0;
};

using PendingPtr = std::unique_ptr<Pending>;

/// Number of rows per rank, for a tensor that is split along its first axis. May contain zeros.
using Counts = std::vector<int64_t>;

/// Splits `total` items into `ranks` contiguous parts. The first total % ranks parts get one item
/// more than the others.
Counts split_evenly(int64_t total, int ranks);

/// First row of `rank`: the sum of counts[0 .. rank). With rank = size it is the total.
int64_t begin_of(Counts const& counts, int rank);

/// A group of ranks that call the same collectives in the same order.
///
/// Collectives are asynchronous and run in order on the process's one communication stream, after
/// the work already queued on the tensors' compute stream:
///
///     comm::Session session(argc, argv);  // outlives every communicator
///     core::cpu::Cpu device;
///     auto const ranks = comm::open(session, device);  // comm/open.h
///     core::Tensor sum(device, {2}, core::Dtype::f32);
///     device.kernels().fill(ranks->rank(), sum);
///     auto const pending = ranks->all_reduce(sum, comm::Reduce::sum);
///     // other work, which must not touch `sum`
///     pending->wait();  // sum is 0 + 1 + ... + (size - 1) on every rank
///
/// Messages may exceed 2^31 bytes. A sum has the same bits on every rank, and in every run on the
/// same machines. Over MPI, terms are added in rank order.
///
/// Throws: core::Error from every collective if shapes, dtypes, counts or devices do not match.
/// They are checked before any rank enters, so a mistake made on all ranks throws on all of them.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// Reduces `t` over all ranks, in place. The shape is the same on every rank. f32, f64, i32 or
  /// i64.
  [[nodiscard]] virtual PendingPtr all_reduce(core::Tensor& t, Reduce how) = 0;

  /// Concatenates `mine` (counts[rank], ...) of all ranks into `all` (sum of counts, ...), in rank
  /// order. Any dtype.
  [[nodiscard]] virtual PendingPtr all_gather(core::Tensor const& mine, Counts const& counts,
                                              core::Tensor& all) = 0;

  /// Sums `all` (sum of counts, ...) over ranks and writes this rank's rows to `mine`
  /// (counts[rank], ...). f32 or f64.
  [[nodiscard]] virtual PendingPtr reduce_scatter(core::Tensor const& all, Counts const& counts,
                                                  core::Tensor& mine) = 0;

  /// Sends send[r] rows of `out` to each rank r and receives receive[r] rows of `in` from it, both
  /// in rank order. Any dtype.
  [[nodiscard]] virtual PendingPtr all_to_all(core::Tensor const& out, Counts const& send,
                                              core::Tensor& in, Counts const& receive) = 0;

  /// Copies `t` of rank `root` to all ranks. Any dtype.
  [[nodiscard]] virtual PendingPtr broadcast(core::Tensor& t, int root) = 0;

  /// Returns when every rank has called it.
  /// Throws: like Pending::wait.
  virtual void barrier() = 0;

  /// Collective. Returns a communicator of the ranks that pass the same `color`, in the same order.
  /// Throws: core::Error if `color` is negative (MPI, NCCL).
  virtual std::unique_ptr<Communicator> split(int color) = 0;

  /// Returns a communicator of the same ranks whose collectives are counted under `label`
  /// (Metered); by default this one, which does not count. Valid as long as this object.
  virtual Communicator& named(std::string_view /*label*/) { return *this; }

  /// Stacks `mine` (...) of all ranks into `all` (size, ...), in rank order.
  [[nodiscard]] PendingPtr all_gather(core::Tensor const& mine, core::Tensor& all);
};

}  // namespace comm
