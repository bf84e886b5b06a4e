#pragma once
#include "comm/communicator.h"

namespace comm {

/// One call to NCCL, as plain data.
struct Transfer {
  enum class Kind { all_reduce, all_gather, reduce_scatter, broadcast, reduce, send, receive };
  Kind kind;
  std::byte const* from;  ///< null where nothing is read
  std::byte* to;          ///< null where nothing is written
  size_t count;           ///< elements; of all_gather and reduce_scatter those of one rank
  core::Dtype dtype;      ///< u8 where bytes are moved as they are
  int peer = 0;           ///< the root, or the other rank
  Reduce how = Reduce::sum;

  bool operator==(Transfer const&) const = default;
};

/// What a collective asks of NCCL on one rank: calls that are begun together. Parts that are empty
/// on every rank alike ask for nothing.
///
/// Where all ranks have as many rows, a gather is an all-gather and a scattered sum a
/// reduce-scatter; where not, they are a broadcast and a reduction of each rank's part, as NCCL has
/// no others.
using Transfers = std::vector<Transfer>;

Transfers transfers_of_all_reduce(core::Tensor t, Reduce how);
Transfers transfers_of_all_gather(int rank, core::Tensor const& mine, Counts const& counts,
                                  core::Tensor const& all);
Transfers transfers_of_reduce_scatter(int rank, core::Tensor const& all, Counts const& counts,
                                      core::Tensor mine);
Transfers transfers_of_all_to_all(core::Tensor const& out, Counts const& send,
                                  core::Tensor const& in, Counts const& receive);
Transfers transfers_of_broadcast(core::Tensor t, int root);

/// What the transfers move on rank `rank` of `size` where every rank sends its part straight to
/// those that need it, and a sum is taken by one rank, evenly dealt, and sent to the others. A ring
/// or a tree moves as much in sum over the ranks.
Moved moved_by(Transfers const& transfers, int rank, int size);

}  // namespace comm
