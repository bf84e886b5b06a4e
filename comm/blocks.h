#pragma once
#include "comm/communicator.h"

namespace comm {

/// Contiguous memory sent to or received from one rank. Does not own it.
struct Block {
  std::byte* data;
  size_t bytes;
};

/// Size in bytes of one row of `t`, that is, of one index of its first axis.
size_t row_bytes(core::Tensor const& t);

/// Splits the rows of `t` by `counts`, one block per rank. The blocks point into the storage of
/// `t`.
std::vector<Block> blocks_of(core::Tensor t, Counts const& counts);

}  // namespace comm
