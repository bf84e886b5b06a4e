#pragma once
#include "tests/support/softmax.h"

/// The passes of a softmax over chunks of classes and over shards.
namespace tests::softmax {

/// Columns [begin, end) of a matrix.
inline core::Tensor columns(core::Tensor const& z, int64_t begin, int64_t end) {
  core::Tensor part(z.device(), {z.size(0), end - begin}, z.dtype());
  z.device().kernels().copy_columns(z, begin, end - begin, part, 0);
  return part;
}

inline core::Tensor part_of(core::Tensor const& of_classes, int64_t begin, int64_t end) {
  return of_classes ? of_classes.rows(begin, end) : core::Tensor{};
}

/// Statistics of classes [cuts.front(), cuts.back()) of all logits z; cuts delimit the chunks.
inline core::Tensor statistics(Case const& c, std::vector<int64_t> const& cuts) {
  core::Tensor stats(c.z.device(), {c.z.size(0), 6}, c.z.dtype());
  c.z.device().kernels().softmax_begin(stats);
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    int64_t const begin = cuts[i], end = cuts[i + 1];
    core::ClassChunk const chunk{c.chunk.first + begin, part_of(c.chunk.bias, begin, end),
                                 part_of(c.chunk.weights, begin, end)};
    core::Tensor tiles(c.z.device(), {core::math::tiles_of(end - begin), c.z.size(0), 3},
                       c.z.dtype());
    c.z.device().kernels().softmax_statistics(c.rule, chunk, c.labels, columns(c.z, begin, end),
                                              stats, tiles);
    c.z.device().kernels().softmax_merge_tiles(tiles, stats);
  }
  return stats;
}

inline core::Tensor whole(Case const& c) { return statistics(c, {0, c.z.size(1)}); }

struct Loss {
  core::Tensor rows, loss, factor, sums;
};

inline Loss merged(std::vector<core::Tensor> const& parts, core::Tensor const& labels,
                   core::math::LossRule const& rule) {
  core::Device& device = labels.device();
  int64_t const rows = labels.count(), ranks = static_cast<int64_t>(parts.size());
  core::Dtype const dtype = parts[0].dtype();
  core::Tensor all(device, {ranks, rows, 6}, dtype);
  for (int64_t p = 0; p < ranks; ++p) {
    core::Tensor part = all.rows(p, p + 1);
    device.copy(parts[static_cast<size_t>(p)], part);
  }
  Loss result{core::Tensor(device, {rows, 4}, dtype), core::Tensor(device, {1}, dtype),
              core::Tensor(device, {1}, core::Dtype::f64),
              core::Tensor(device, {2}, core::Dtype::f64)};
  device.kernels().fill(0, result.sums);
  device.kernels().softmax_merge(rule, all, labels, result.rows, result.sums);
  device.kernels().softmax_mean(result.sums, result.rows, result.loss, result.factor);
  return result;
}

inline Loss loss_of(Case const& c) { return merged({whole(c)}, c.labels, c.loss); }

inline core::Tensor gradient(Case const& c, core::Tensor const& rows, core::Dtype dtype) {
  core::Tensor g(c.z.device(), c.z.shape(), dtype);
  c.z.device().kernels().softmax_gradient(c.rule, c.chunk, c.labels, c.z, rows, g);
  return g;
}

}  // namespace tests::softmax
