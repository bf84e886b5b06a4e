#include "core/cuda/kernels.h"
#include "core/cuda/tiles.cuh"
#include "core/device.h"
#include "core/dispatch.h"
#include "core/math/softmax.h"
#include "core/math/wide.h"

namespace core::cuda {
namespace {

using math::SoftmaxSum;

template <class T>
__global__ void softmax_begin_kernel(int64_t rows, T* stats) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (int64_t i = first_of_grid(); i < 3 * rows; i += step_of_grid())
    stats[i] = T(i % 3 == 0 ? -infinity : 0.0f);
}

/// Adds the bias, if any, to a tile of logits, and sums it up: sums (rows, tiles of a row). The
/// tile stays in registers between the maximum and the sum.
template <bool aligned, bool has_bias, class W>
__global__ void softmax_tile_kernel(RowTiles tiles, W const* bias, W* z, SoftmaxSum<W>* sums) {
  constexpr int n = pack_size<W>, packs = RowTiles::thread_columns / n;
  constexpr W none = -std::numeric_limits<W>::infinity();
  Tile const tile = tiles.at(blockIdx.x);
  W* const logits = z + tile.row * tiles.width + tile.begin;
  Pack<W, n> values[packs];
#pragma unroll
  for (int p = 0; p < packs; ++p)
    values[p] = load_part<n, aligned, W>(logits, p * blockDim.x + threadIdx.x, tile.size, none);
  if constexpr (has_bias) {
#pragma unroll
    for (int p = 0; p < packs; ++p) {
      int64_t const pack = p * blockDim.x + threadIdx.x;
      auto const offset = load_part<n, aligned, W>(bias + tile.begin, pack, tile.size, 0);
#pragma unroll
      for (int j = 0; j < n; ++j) values[p].at[j] += offset.at[j];
      store_part<n, aligned>(values[p], logits, pack, tile.size);
    }
  }
  W max = none, sum = 0;
#pragma unroll
  for (int i = 0; i < packs * n; ++i) max = Larger{}(max, values[i / n].at[i % n]);
  max = reduce_block(max, Larger{});
  W const ref = math::reference(max);
#pragma unroll
  for (int i = 0; i < packs * n; ++i) sum += math::exp(values[i / n].at[i % n] - ref);
  sum = reduce_block(sum, Plus{});
  if (threadIdx.x == 0) sums[blockIdx.x] = {max, sum};
}

struct MergeSums {
  template <class W>
  __device__ SoftmaxSum<W> operator()(SoftmaxSum<W> const& a, SoftmaxSum<W> const& b) const {
    return math::merge(a, b);
  }
};

/// A warp a row: the sums of its tiles go into the statistics.
template <class W>
__global__ void softmax_chunk_kernel(RowTiles tiles, SoftmaxSum<W> const* sums,
                                     int64_t const* labels, int64_t first, W const* z, W* stats) {
  int64_t const row = first_of_grid() / warp_size;
  if (row >= tiles.rows) return;
  auto all = math::no_classes<W>;
  for (int64_t tile = lane_of_warp(); tile < tiles.of_row; tile += warp_size)
    all = math::merge(all, sums[row * tiles.of_row + tile]);
  all = reduce_warp(all, MergeSums{});
  if (lane_of_warp() == 0)
    math::add_chunk(all, z + row * tiles.width, tiles.width, labels[row] - first, stats + 3 * row);
}

template <class F>
__global__ void each_row_kernel(int64_t rows, F f) {
  for (int64_t r = first_of_grid(); r < rows; r += step_of_grid()) f(r);
}

template <bool aligned, class W, class T>
__global__ void softmax_gradient_kernel(RowTiles tiles, W const* z, W const* lse,
                                        int64_t const* labels, int64_t first, W factor, T* g) {
  constexpr int n = pack_size<W>;
  Tile const tile = tiles.at(blockIdx.x);
  int64_t const at = tile.row * tiles.width + tile.begin, label = labels[tile.row];
  int64_t const target = label - first - tile.begin;
  W const log_sum = lse[tile.row];
#pragma unroll
  for (int p = 0; p < RowTiles::thread_columns / n; ++p) {
    int64_t const pack = p * blockDim.x + threadIdx.x;
    auto const logits = load_part<n, aligned, W>(z + at, pack, tile.size, 0);
    Pack<T, n> slopes;
#pragma unroll
    for (int j = 0; j < n; ++j) {
      W const slope = math::softmax_slope(logits.at[j], log_sum, pack * n + j == target);
      slopes.at[j] = label < 0 ? T(0) : T(factor * slope);
    }
    store_part<n, aligned>(slopes, g + at, pack, tile.size);
  }
}

template <class W>
void sum_tiles(StreamHandle stream, RowTiles const& tiles, W const* bias, W* z,
               SoftmaxSum<W>* sums) {
  constexpr int n = pack_size<W>;
  with(rows_pack<n>(tiles.width, z, bias), [&](auto aligned) {
    with(bias != nullptr, [&](auto has_bias) {
      launch(softmax_tile_kernel<aligned, has_bias, W>, tiles.grid(), stream, tiles, bias, z, sums);
    });
  });
}

}  // namespace

void CudaKernels::softmax_begin(Tensor& stats) {
  int64_t const rows = stats.count() / 3;
  if (rows == 0) return;
  visit_floating(stats.dtype(), [&]<class T>() {
    launch(softmax_begin_kernel<T>, grid_of(3 * rows), stream_, rows, stats.data<T>());
  });
}

void CudaKernels::softmax_statistics(Tensor const& bias, Tensor const& labels, int64_t first,
                                     Tensor& z, Tensor& stats) {
  RowTiles const tiles(z.size(0), z.size(1));
  if (tiles.rows == 0) return;
  visit_wide(z.dtype(), [&]<class W>() {
    Tensor scratch(z.device(), {tiles.rows, tiles.of_row, 2}, z.dtype());
    auto* const sums = reinterpret_cast<SoftmaxSum<W>*>(scratch.data<W>());
    if (tiles.of_row > 0) sum_tiles<W>(stream_, tiles, data_or_null<W>(bias), z.data<W>(), sums);
    constexpr int64_t threads = 128;
    launch(softmax_chunk_kernel<W>,
           grid_of_blocks((tiles.rows * warp_size + threads - 1) / threads, threads), stream_,
           tiles, sums, labels.data<int64_t>(), first, z.data<W>(), stats.data<W>());
  });
}

void CudaKernels::softmax_merge(Tensor const& parts, Tensor const& labels, Tensor& lse,
                                Tensor& loss) {
  int64_t const rows = labels.count();
  if (rows == 0) return;
  visit_wide(parts.dtype(), [&]<class W>() {
    math::MergeShards<W> const merge_row{parts.data<W>(),        parts.size(0), rows,
                                         labels.data<int64_t>(), lse.data<W>(), loss.data<W>()};
    launch(each_row_kernel<math::MergeShards<W>>, grid_of(rows), stream_, rows, merge_row);
  });
}

void CudaKernels::softmax_gradient(Tensor const& z, Tensor const& lse, Tensor const& labels,
                                   int64_t first, double factor, Tensor& g) {
  if (z.count() == 0) return;
  RowTiles const tiles(z.size(0), z.size(1));
  visit_floating(g.dtype(), [&]<class T>() {
    using W = math::Wide<T>;
    constexpr int n = pack_size<W>;
    with(rows_pack<n>(tiles.width, z.data<W>(), g.data<T>()), [&](auto aligned) {
      launch(softmax_gradient_kernel<aligned, W, T>, tiles.grid(), stream_, tiles, z.data<W>(),
             lse.data<W>(), labels.data<int64_t>(), first, static_cast<W>(factor), g.data<T>());
    });
  });
}

}  // namespace core::cuda
