#include "layers/head/merge_statistics.h"
#include "core/device.h"
#include "layers/head/head.h"
#include "layers/layer.h"

namespace layers {
namespace {

using core::Dtype;
using core::Tensor;
using core::math::LossRule;
using core::math::RowGradient;
using core::math::RowStatistics;

/// Two more collectives are worth it from here on: 20 microseconds at 50 GB/s, about their latency.
constexpr int64_t worthwhile_bytes = int64_t{1} << 20;

/// Merges parts (P, n, RowStatistics::count) of n rows.
MergedStatistics merged(LossRule const& rule, Tensor const& parts, Tensor const& labels) {
  auto& device = parts.device();
  MergedStatistics all{{device, {labels.count(), RowGradient::count}, parts.dtype()},
                       filled(device, {2}, Dtype::f64, 0)};
  device.kernels().softmax_merge(rule, parts, labels, all.rows, all.sums);
  return all;
}

/// Every rank receives all statistics and merges all rows.
MergedStatistics merge_gathered(comm::Communicator& ranks, LossRule const& rule, Tensor const& mine,
                                Tensor const& labels) {
  Tensor parts(mine.device(), {ranks.size(), mine.size(0), mine.size(1)}, mine.dtype());
  ranks.all_gather(mine, parts)->wait();
  return merged(rule, parts, labels);
}

/// Every rank receives all statistics of its block of rows, merges these rows, and sends the result
/// to all others.
MergedStatistics merge_by_rows(comm::Communicator& ranks, LossRule const& rule, Tensor const& mine,
                               Tensor const& labels) {
  auto const blocks = comm::split_evenly(labels.count(), ranks.size());
  int64_t const begin = comm::begin_of(blocks, ranks.rank());
  int64_t const end = comm::begin_of(blocks, ranks.rank() + 1);
  auto block = merged(rule, exchange_blocks(ranks, mine, blocks), labels.rows(begin, end));
  MergedStatistics all{{mine.device(), {labels.count(), RowGradient::count}, mine.dtype()},
                       block.sums};
  auto const gathered = ranks.all_gather(block.rows, blocks, all.rows);
  auto const summed = ranks.all_reduce(all.sums, comm::Reduce::sum);
  gathered->wait();
  summed->wait();
  return all;
}

}  // namespace

bool merges_by_rows(int ranks, int64_t rows, int64_t width) {
  // Sent by a rank: (P - 1) B statistics gathered; (P - 1) / P B statistics and merged rows.
  int64_t const values = RowStatistics::count * ranks - RowStatistics::count - RowGradient::count;
  return (ranks - 1) * rows * width * values / ranks >= worthwhile_bytes;
}

MergedStatistics merge_statistics(comm::Communicator& ranks, StatisticsMerge how,
                                  LossRule const& rule, Tensor const& mine, Tensor const& labels) {
  bool const by_rows = how == StatisticsMerge::automatic
                           ? merges_by_rows(ranks.size(), mine.size(0),
                                            static_cast<int64_t>(core::size_of(mine.dtype())))
                           : how == StatisticsMerge::by_rows;
  return by_rows ? merge_by_rows(ranks, rule, mine, labels)
                 : merge_gathered(ranks, rule, mine, labels);
}

}  // namespace layers
