#include "comm/blocks.h"

namespace comm {

size_t row_bytes(core::Tensor const& t) {
  core::Shape row = t.shape();
  row.front() = 1;
  return static_cast<size_t>(core::count(row)) * size_of(t.dtype());
}

std::vector<Block> blocks_of(core::Tensor t, Counts const& counts) {
  std::vector<Block> blocks;
  size_t const row = row_bytes(t);
  std::byte* at = t.raw();
  for (int64_t const rows : counts) {
    blocks.push_back({at, static_cast<size_t>(rows) * row});
    at += blocks.back().bytes;
  }
  return blocks;
}

}  // namespace comm
