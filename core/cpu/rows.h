#pragma once
#include <algorithm>
#include "core/cpu/parallel.h"
#include "core/device.h"

/// Iteration over rows of channels: tensors (..., Ch) viewed as (rows, Ch).
namespace core::cpu {

/// Calls f(begin, end) for blocks of rows, on all threads.
template <class F>
void for_rows(int64_t rows, int64_t width, F const& f) {
  constexpr int64_t elements = 1 << 16;
  for_blocks(rows, std::max<int64_t>(1, elements / std::max<int64_t>(1, width)), f);
}

/// Calls f(i, c) for every element i = row * width + c. f may only access element i and channel c.
template <class F>
void for_elements(int64_t rows, int64_t width, F const& f) {
  for_rows(rows, width, [=](int64_t begin, int64_t end) {
    for (int64_t at = begin * width; at < end * width; at += width)
      simd(0, width, [=](int64_t c) { f(at + c, c); });
  });
}

/// Number of rows whose sum is accumulated in Acc; the sums of tiles are added in f64.
inline constexpr int64_t tile_rows = 64;

/// Number of rows per block, a multiple of tile_rows: at most 64 blocks, independent of the number
/// of threads.
inline int64_t block_rows(int64_t rows) {
  int64_t const tiles = (rows + tile_rows - 1) / tile_rows;
  return std::max<int64_t>(1, (tiles + 63) / 64) * tile_rows;
}

/// Calls f(begin, end) for the tiles of [begin, end).
template <class F>
void for_tiles(int64_t begin, int64_t end, F const& f) {
  for (int64_t tile = begin; tile < end; tile += tile_rows)
    f(tile, std::min(end, tile + tile_rows));
}

/// out[i] := the sum over tiles of what add_tile(begin, end, Acc* sums) adds to sums[i], i < width.
/// The order of summation depends only on the number of rows.
template <class Acc, class F>
void sum_over_rows(Device& device, int64_t rows, int64_t width, F const& add_tile, Acc* out) {
  int64_t const size = block_rows(rows), blocks = (rows + size - 1) / size;
  Tensor tiles(device, {blocks, width}, dtype_of<Acc>), totals(device, {blocks, width}, Dtype::f64);
  Acc* const tile = tiles.data<Acc>();
  double* const total = totals.data<double>();
  for_blocks(rows, size, [=, &add_tile](int64_t begin, int64_t end) {
    Acc* const part = tile + begin / size * width;
    double* const sum = total + begin / size * width;
    std::fill_n(sum, width, 0);
    for_tiles(begin, end, [&](int64_t first, int64_t last) {
      std::fill_n(part, width, Acc(0));
      add_tile(first, last, part);
      simd(0, width, [=](int64_t i) { sum[i] += part[i]; });
    });
  });
  for (int64_t i = 0; i < width; ++i) {
    double sum = 0;
    for (int64_t block = 0; block < blocks; ++block) sum += total[block * width + i];
    out[i] = static_cast<Acc>(sum);
  }
}

}  // namespace core::cpu
