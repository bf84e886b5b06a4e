#pragma once
#include "comm/communicator.h"

namespace comm {

/// Memory that goes to or comes from one rank.
struct Block {
  std::byte* data;
  size_t bytes;
};

/// Bytes of one row, along the first axis.
size_t row_bytes(core::Tensor const& t);

/// The rows of each rank in `t`, whose storage they share.
std::vector<Block> blocks_of(core::Tensor t, Counts const& counts);

}  // namespace comm
