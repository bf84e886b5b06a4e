#pragma once
#include "comm/collective.h"
#include "comm/communicator.h"

/// Argument checks that every communicator runs before it enters a collective. If all ranks make
/// the same mistake, all of them throw and none is left waiting.
///
/// Throws: core::Error that names the collective, the rank and the sizes.
namespace comm {

void check_all_reduce(Communicator const&, core::Tensor const& t);
void check_all_gather(Communicator const&, core::Tensor const& mine, Counts const& counts,
                      core::Tensor const& all);
void check_reduce_scatter(Communicator const&, core::Tensor const& all, Counts const& counts,
                          core::Tensor const& mine);
void check_all_to_all(Communicator const&, core::Tensor const& out, Counts const& send,
                      core::Tensor const& in, Counts const& receive);
void check_broadcast(Communicator const&, core::Tensor const& t, int root);

/// Rejects a tensor that the communicator cannot access (`reachable` is false). `place`: the memory
/// that it can access, for the message.
void check_device(Communicator const&, Collective what, core::Tensor const& t, bool reachable,
                  char const* place);

}  // namespace comm
