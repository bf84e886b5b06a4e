#include "core/cuda/kernels.h"
#include "core/cuda/softmax_products.cuh"
#include "core/math/accumulator.h"

namespace core::cuda {
namespace {

using math::RowStatistics;
using math::TileSum;

static_assert(RowTiles::columns == math::tile_classes);

struct MergeTiles {
  template <class Acc>
  __device__ TileSum<Acc> operator()(TileSum<Acc> const& a, TileSum<Acc> const& b) const {
    return math::merge(a, b);
  }
};

/// Loads the products of a tile into registers.
template <int n, bool aligned, class P, class Acc, int packs>
__device__ void load_tile(P const& products, Tile const& tile, Pack<Acc, n> (&z)[packs]) {
#pragma unroll
  for (int p = 0; p < packs; ++p)
    z[p] = products.template load_products<n, aligned>(tile, p * blockDim.x + threadIdx.x);
}

/// Returns the logits of pack p, -inf at the target and beyond the row's end.
template <int n, bool aligned, class P, class Acc>
__device__ Pack<Acc, n> logits_of(P const& products, Tile const& tile, int p,
                                  Pack<Acc, n> const& z) {
  constexpr Acc none = -std::numeric_limits<Acc>::infinity();
  int64_t const pack = p * blockDim.x + threadIdx.x, target = products.target(tile);
  auto logits = products.template logits<n, aligned>(tile, pack, z);
#pragma unroll
  for (int j = 0; j < n; ++j)
    if (pack * n + j == target || pack * n + j >= tile.size) logits.at[j] = none;
  return logits;
}

template <int n, bool aligned, class P, class Acc, int packs>
__device__ void convert_to_logits(P const& products, Tile const& tile,
                                  Pack<Acc, n> (&values)[packs]) {
#pragma unroll
  for (int p = 0; p < packs; ++p) values[p] = logits_of<n, aligned>(products, tile, p, values[p]);
}

/// Returns the thread's sum of class weight times logit, without the target.
template <int n, bool aligned, class P, class Acc, int packs>
__device__ Acc sum_of_logits(P const& products, Tile const& tile, Pack<Acc, n> const (&z)[packs]) {
  int64_t const target = products.target(tile);
  Acc sum = 0;
#pragma unroll
  for (int p = 0; p < packs; ++p) {
    int64_t const pack = p * blockDim.x + threadIdx.x;
    auto const logits = products.template logits<n, aligned>(tile, pack, z[p]);
    auto const weights = products.template class_weights<n, aligned>(tile, pack);
#pragma unroll
    for (int j = 0; j < n; ++j)
      if (pack * n + j != target && pack * n + j < tile.size) sum += weights.at[j] * logits.at[j];
  }
  return sum;
}

template <class Acc, int n, int packs>
__device__ Acc largest(Pack<Acc, n> const (&values)[packs]) {
  Acc max = -std::numeric_limits<Acc>::infinity();
#pragma unroll
  for (int i = 0; i < packs * n; ++i) max = Larger{}(max, values[i / n].at[i % n]);
  return reduce_block(max, Larger{});
}

/// Where a block writes the sums of its tile, and the target, which it merges into the statistics.
template <class Acc>
struct TileResult {
  TargetRule<Acc> rule;
  Acc* stats;          ///< (B, RowStatistics::count)
  TileSum<Acc>* sums;  ///< (tiles, B)

  template <class P>
  __device__ void write(P const& products, Tile const& tile, TileSum<Acc> const& sum) const {
    if (threadIdx.x != 0) return;
    sums[tile.begin / RowTiles::columns * products.tiles.rows + tile.row] = sum;
    int64_t const target = products.target(tile);
    if (target < 0 || target >= tile.size) return;
    int64_t const c = tile.begin + target;
    Acc* const row = stats + RowStatistics::count * tile.row;
    math::merge_into(
        row, {rule(tile.row, c, products.z[tile.row * products.tiles.width + c], row), Acc(0)});
  }
};

/// Reduces a tile to its sums. The tile stays in registers between the passes over it.
template <bool aligned, class Acc, class Others>
__global__ void softmax_tile_kernel(Products<Acc, Others> products, TileResult<Acc> result) {
  constexpr int n = pack_size<Acc>, packs = RowTiles::thread_columns / n;
  Tile const tile = products.tiles.at(blockIdx.x);
  Pack<Acc, n> values[packs];
  load_tile<n, aligned>(products, tile, values);
  Acc logits = result.rule.sum_logits ? sum_of_logits<n, aligned>(products, tile, values) : Acc(0);
  convert_to_logits<n, aligned>(products, tile, values);
  Acc const max = largest(values), ref = math::reference(max);
  Acc sum = 0;
#pragma unroll
  for (int i = 0; i < packs * n; ++i) sum += math::exp(values[i / n].at[i % n] - ref);
  sum = reduce_block(sum, Plus{});
  if (result.rule.sum_logits) {
    __syncthreads();  // between two reductions with Plus
    logits = reduce_block(logits, Plus{});
  }
  result.write(products, tile, {{max, sum}, logits});
}

/// Also writes the tile's exponentials to e, which has this pitch.
template <bool aligned, class T, class Acc, class Others>
__global__ void softmax_exponentials_kernel(Products<Acc, Others> products, Acc const* reference,
                                            TileResult<Acc> result, T* e, int64_t pitch) {
  constexpr int n = pack_size<Acc>, packs = RowTiles::thread_columns / n;
  Tile const tile = products.tiles.at(blockIdx.x);
  auto const others = products.others.at(tile.row);
  Pack<Acc, n> z[packs];
  load_tile<n, aligned>(products, tile, z);
  Acc max = -std::numeric_limits<Acc>::infinity();
#pragma unroll
  for (int p = 0; p < packs; ++p) {
    auto const logits = logits_of<n, aligned>(products, tile, p, z[p]);
#pragma unroll
    for (Acc const logit : logits.at) max = Larger{}(max, logit);
  }
  max = math::tile_reference(reduce_block(max, Larger{}), reference[tile.row]);
  Acc const ref = math::reference(max);
  Acc sum = 0;
#pragma unroll
  for (int p = 0; p < packs; ++p) {
    auto const logits = logits_of<n, aligned>(products, tile, p, z[p]);
    Pack<T, n> values;
#pragma unroll
    for (int j = 0; j < n; ++j) {
      Acc const x = math::exp(logits.at[j] - ref);
      sum += x;
      values.at[j] = T(x == 0 ? Acc(0) : x * others.slope(z[p].at[j]));
    }
    store_part<n, aligned>(values, e + tile.row * pitch + tile.begin, p * blockDim.x + threadIdx.x,
                           tile.size);
  }
  sum = reduce_block(sum, Plus{});
  Acc logits = 0;
  if (result.rule.sum_logits) {
    __syncthreads();  // between two reductions with Plus
    logits = reduce_block(sum_of_logits<n, aligned>(products, tile, z), Plus{});
  }
  result.write(products, tile, {{max, sum}, logits});
}

/// The largest logit of the first tile of a row, one block per row.
template <bool aligned, class Acc, class Others>
__global__ void softmax_reference_kernel(Products<Acc, Others> products, TargetRule<Acc> rule,
                                         Acc* reference) {
  constexpr int n = pack_size<Acc>, packs = RowTiles::thread_columns / n;
  int64_t const row = blockIdx.x;
  Tile const tile = products.tiles.at(row * products.tiles.of_row);
  Pack<Acc, n> values[packs];
  load_tile<n, aligned>(products, tile, values);
  convert_to_logits<n, aligned>(products, tile, values);
  Acc const max = largest(values);
  if (threadIdx.x != 0) return;
  int64_t const target = products.target(tile);
  Acc unused[RowStatistics::count] = {};
  bool const here = 0 <= target && target < tile.size;
  reference[row] =
      here
          ? Larger{}(max,
                     rule(row, target, products.z[row * products.tiles.width + target], unused).max)
          : max;
}

/// One warp per row: merges its tiles into the statistics.
template <class Acc>
__global__ void softmax_merge_tiles_kernel(int64_t rows, int64_t tiles, TileSum<Acc> const* sums,
                                           Acc* stats) {
  int64_t const row = first_of_grid() / warp_size;
  if (row >= rows) return;
  TileSum<Acc> all{math::no_classes<Acc>, 0};
  for (int64_t tile = lane_of_warp(); tile < tiles; tile += warp_size)
    all = MergeTiles{}(all, sums[tile * rows + row]);
  all = reduce_warp(all, MergeTiles{});
  if (lane_of_warp() == 0) math::merge_into(stats + RowStatistics::count * row, all);
}

Grid grid_of_rows(int64_t rows) {
  constexpr int64_t threads = 128;
  return grid_of_blocks((rows * warp_size + threads - 1) / threads, threads);
}

template <class Acc>
TileResult<Acc> tile_result(LogitRule const& rule, ClassChunk const& chunk, Tensor& stats,
                            Tensor& tiles) {
  return {TargetRule<Acc>(rule, chunk), stats.data<Acc>(),
          reinterpret_cast<TileSum<Acc>*>(tiles.data<Acc>())};
}

}  // namespace

void CudaKernels::softmax_statistics(LogitRule const& rule, ClassChunk const& chunk,
                                     Tensor const& labels, Tensor const& z, Tensor& stats,
                                     Tensor& tiles) {
  if (z.count() == 0) return;
  visit_wide(z.dtype(), [&]<class Acc>() {
    with_products<Acc, pack_size<Acc>>(
        rule, chunk, labels, z,
        [&]<class Others>(Products<Acc, Others> const& products, auto aligned) {
          launch(softmax_tile_kernel<aligned, Acc, Others>, products.tiles.grid(), stream_,
                 products, tile_result<Acc>(rule, chunk, stats, tiles));
        });
  });
}

void CudaKernels::softmax_reference(LogitRule const& rule, ClassChunk const& chunk,
                                    Tensor const& labels, Tensor const& z, Tensor& reference) {
  if (z.size(0) == 0) return;
  if (z.size(1) == 0) return fill(-std::numeric_limits<double>::infinity(), reference);
  visit_wide(z.dtype(), [&]<class Acc>() {
    with_products<Acc, pack_size<Acc>>(
        rule, chunk, labels, z,
        [&]<class Others>(Products<Acc, Others> const& products, auto aligned) {
          Grid const grid = grid_of_blocks(z.size(0), products.tiles.grid().threads);
          launch(softmax_reference_kernel<aligned, Acc, Others>, grid, stream_, products,
                 TargetRule<Acc>(rule, chunk), reference.data<Acc>());
        });
  });
}

void CudaKernels::softmax_exponentials(LogitRule const& rule, ClassChunk const& chunk,
                                       Tensor const& labels, Tensor const& z,
                                       Tensor const& reference, Tensor& stats, Tensor& tiles,
                                       Columns& e) {
  if (z.count() == 0) return;
  visit_floating(e.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    constexpr int n = pack_size<Acc>;
    auto const run = [&]<class Others>(Products<Acc, Others> const& products, auto packed) {
      with(packed && e.pitch() % n == 0, [&](auto aligned) {
        launch(softmax_exponentials_kernel<aligned, T, Acc, Others>, products.tiles.grid(), stream_,
               products, reference.data<Acc>(), tile_result<Acc>(rule, chunk, stats, tiles),
               e.data<T>(), e.pitch());
      });
    };
    with_products<Acc, n>(rule, chunk, labels, z, run, std::as_const(e).data<T>());
  });
}

void CudaKernels::softmax_merge_tiles(Tensor const& tiles, Tensor& stats) {
  int64_t const rows = stats.size(0);
  if (rows == 0) return;
  visit_wide(stats.dtype(), [&]<class Acc>() {
    launch(softmax_merge_tiles_kernel<Acc>, grid_of_rows(rows), stream_, rows, tiles.size(0),
           reinterpret_cast<TileSum<Acc> const*>(tiles.data<Acc>()), stats.data<Acc>());
  });
}

}  // namespace core::cuda
