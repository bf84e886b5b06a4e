#include "comm/communicator.h"
#include <numeric>

namespace comm {

Counts split_evenly(int64_t total, int ranks) {
  Counts counts(static_cast<size_t>(ranks), total / ranks);
  for (size_t r = 0; r < static_cast<size_t>(total % ranks); ++r) ++counts[r];
  return counts;
}

int64_t begin_of(Counts const& counts, int rank) {
  return std::accumulate(counts.begin(), counts.begin() + rank, int64_t{0});
}

PendingPtr Communicator::all_gather(core::Tensor const& mine, core::Tensor& all) {
  core::Shape stacked = mine.shape();
  stacked.insert(stacked.begin(), 1);
  return all_gather(mine.reshape(stacked), Counts(static_cast<size_t>(size()), 1), all);
}

}  // namespace comm
