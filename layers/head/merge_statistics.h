#pragma once
#include "comm/communicator.h"
#include "core/math/softmax.h"
#include "layers/head/options.h"

namespace layers {

/// Whether `StatisticsMerge::automatic` merges by rows: if that saves a rank at least 1 MiB of
/// sending. `width`: bytes of a value.
bool merges_by_rows(int ranks, int64_t rows, int64_t width);

/// The result of Kernels::softmax_merge for a whole batch, the same bits on every rank.
struct MergedStatistics {
  core::Tensor rows;  ///< (B, RowGradient::count), Acc
  core::Tensor sums;  ///< (2), f64: losses and weights
};

/// Collective. Merges the row statistics `mine` (B, RowStatistics::count), Acc, of all ranks, in
/// rank order. labels (B), i64. The rows have the same bits whichever way they are merged; the sums
/// differ in the order of their terms.
MergedStatistics merge_statistics(comm::Communicator& ranks, StatisticsMerge how,
                                  core::math::LossRule const& rule, core::Tensor const& mine,
                                  core::Tensor const& labels);

}  // namespace layers
