#pragma once
#include "comm/communicator.h"

namespace comm {

/// One NCCL call, as plain data.
struct Transfer {
  enum class Kind { all_reduce, all_gather, reduce_scatter, broadcast, reduce, send, receive };
  Kind kind;
  std::byte const* from;  ///< null if nothing is read
  std::byte* to;          ///< null if nothing is written
  size_t count;           ///< number of elements; per rank for all_gather and reduce_scatter
  core::Dtype dtype;      ///< u8 if bytes are moved unchanged
  int peer = 0;           ///< root rank, or the other rank of send and receive
  Reduce how = Reduce::sum;

  bool operator==(Transfer const&) const = default;
};

/// The NCCL calls of one collective on one rank, issued as one NCCL group. Empty parts are omitted.
///
/// With equal counts a gather is one all-gather and a scattered sum one reduce-scatter. NCCL has no
/// variants with uneven counts, so these become one broadcast or one reduce per non-empty part.
using Transfers = std::vector<Transfer>;

Transfers transfers_of_all_reduce(core::Tensor t, Reduce how);
Transfers transfers_of_all_gather(int rank, core::Tensor const& mine, Counts const& counts,
                                  core::Tensor const& all);
Transfers transfers_of_reduce_scatter(int rank, core::Tensor const& all, Counts const& counts,
                                      core::Tensor mine);
Transfers transfers_of_all_to_all(core::Tensor const& out, Counts const& send,
                                  core::Tensor const& in, Counts const& receive);
Transfers transfers_of_broadcast(core::Tensor t, int root);

/// Bytes that the transfers move on rank `rank` of `size` in a direct exchange: every rank sends
/// its part straight to the ranks that need it; sums are evenly divided over the ranks, and each
/// rank sends its sums to the others. A ring or a tree moves the same total over all ranks.
Moved moved_by(Transfers const& transfers, int rank, int size);

}  // namespace comm
