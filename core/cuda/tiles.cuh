#pragma once
#include <algorithm>
#include "core/cuda/map.cuh"
#include "core/cuda/reduce.cuh"

/// Rows split into tiles, each processed by one block, and packs of rows of any width.
namespace core::cuda {

/// Returns a grid of independent blocks.
/// Throws: Error if the number of blocks exceeds CUDA's limit.
inline Grid grid_of_blocks(int64_t blocks, int64_t threads) {
  constexpr int64_t most = 0x7FFFFFFF;
  core::check(blocks <= most, "kernel launch of ", blocks, " blocks exceeds the CUDA limit of ",
              most);
  return {dim3(static_cast<unsigned>(blocks)), static_cast<unsigned>(threads)};
}

/// Returns the number of threads, in whole warps, for `count` threads of work, at most map_threads.
inline int64_t warps_for(int64_t count) {
  return std::min<int64_t>((count + warp_size - 1) / warp_size * warp_size, map_threads);
}

/// Columns [begin, begin + size) of a row.
struct Tile {
  int64_t row, begin, size;
};

/// Rows of `width` elements in tiles of at most 4096, numbered row by row.
struct RowTiles {
  static constexpr int64_t columns = 4096;
  static constexpr int thread_columns = 16;

  int64_t rows, width, of_row;

  RowTiles(int64_t rows, int64_t width)
      : rows(rows), width(width), of_row((width + columns - 1) / columns) {}

  /// One block per tile.
  Grid grid() const {
    int64_t const widest = std::min(width, columns);
    return grid_of_blocks(rows * of_row, warps_for((widest + thread_columns - 1) / thread_columns));
  }
  __device__ Tile at(int64_t number) const {
    int64_t const row = number / of_row, begin = (number - row * of_row) * columns;
    int64_t const left = width - begin;
    return {row, begin, left < columns ? left : columns};
  }
};

/// Returns true if every row of these arrays begins and ends at a pack boundary.
template <int n, class... T>
bool rows_pack(int64_t width, T const*... data) {
  return width % n == 0 && (packs<n>(data) && ...);
}

/// Loads pack `pack` of x, which has `count` elements; elements beyond are `rest`. The assignment
/// of elements to threads does not depend on `aligned` (rows_pack).
template <int n, bool aligned, class T>
__device__ Pack<T, n> load_part(T const* x, int64_t pack, int64_t count, T rest) {
  if (aligned && pack * n < count) return load<n>(x, pack);
  Pack<T, n> values;
#pragma unroll
  for (int j = 0; j < n; ++j)
    values.at[j] = !aligned && pack * n + j < count ? x[pack * n + j] : rest;
  return values;
}

/// Stores a pack, except elements beyond `count`.
template <int n, bool aligned, class T>
__device__ void store_part(Pack<T, n> const& values, T* x, int64_t pack, int64_t count) {
  if constexpr (aligned) {
    if (pack * n < count) store<n>(values, x, pack);
  } else {
#pragma unroll
    for (int j = 0; j < n; ++j)
      if (pack * n + j < count) x[pack * n + j] = values.at[j];
  }
}

}  // namespace core::cuda
