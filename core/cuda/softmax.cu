#include "core/cuda/kernels.h"
#include "core/cuda/tiles.cuh"
#include "core/logit_rule.h"
#include "core/math/accumulator.h"
#include "core/math/softmax.h"

namespace core::cuda {
namespace {

using math::RowGradient;
using math::RowStatistics;
using math::SoftmaxSum;

/// Products of a chunk, and the parameters that convert them to logits.
template <class Acc, class Others>
struct Products {
  RowTiles tiles;
  Acc const* z;
  Acc const *bias, *weights;  ///< or null
  Others others;
  int64_t const* labels;
  int64_t first;

  /// Returns the target's index in the tile; outside of it if the target is elsewhere.
  __device__ int64_t target(Tile const& tile) const {
    return labels[tile.row] - first - tile.begin;
  }
  template <int n, bool aligned>
  __device__ Pack<Acc, n> load_products(Tile const& tile, int64_t pack) const {
    Acc const* const from = z + tile.row * tiles.width + tile.begin;
    return load_part<n, aligned, Acc>(from, pack, tile.size, 0);
  }
  /// Converts products to logits.
  template <int n, bool aligned>
  __device__ Pack<Acc, n> logits(Tile const& tile, int64_t pack, Pack<Acc, n> values) const {
    auto const rule = others.at(tile.row);
#pragma unroll
    for (int j = 0; j < n; ++j) values.at[j] = rule.logit(values.at[j]);
    if (bias != nullptr) {
      auto const offset = load_part<n, aligned, Acc>(bias + tile.begin, pack, tile.size, 0);
#pragma unroll
      for (int j = 0; j < n; ++j) values.at[j] += offset.at[j];
    }
    return values;
  }
  template <int n, bool aligned>
  __device__ Pack<Acc, n> class_weights(Tile const& tile, int64_t pack) const {
    if (weights != nullptr)
      return load_part<n, aligned, Acc>(weights + tile.begin, pack, tile.size, 0);
    Pack<Acc, n> ones;
#pragma unroll
    for (Acc& one : ones.at) one = 1;
    return ones;
  }
};

/// Calls run(products, aligned); `aligned` is true if rows begin and end at pack boundaries.
template <class Acc, int n, class Run, class... T>
void with_products(LogitRule const& rule, ClassChunk const& chunk, Tensor const& labels,
                   Tensor const& z, Run const& run, T const*... data) {
  with_others<Acc>(rule, [&](auto const& others) {
    Products<Acc, std::decay_t<decltype(others)>> const products{RowTiles(z.size(0), z.size(1)),
                                                                 z.data<Acc>(),
                                                                 data_or_null<Acc>(chunk.bias),
                                                                 data_or_null<Acc>(chunk.weights),
                                                                 others,
                                                                 labels.data<int64_t>(),
                                                                 chunk.first};
    bool const packed =
        rows_pack<n>(products.tiles.width, products.z, products.bias, products.weights, data...);
    with(packed, [&](auto aligned) { run(products, aligned); });
  });
}

/// Partial sums of one tile, target class excluded: the largest logit, the sum of exp and, if
/// requested, the sum of class weight times logit.
template <class Acc>
struct TileSum {
  SoftmaxSum<Acc> exponentials;
  Acc logits;
};

struct MergeTiles {
  template <class Acc>
  __device__ TileSum<Acc> operator()(TileSum<Acc> const& a, TileSum<Acc> const& b) const {
    return {math::merge(a.exponentials, b.exponentials), a.logits + b.logits};
  }
};

/// Loads the logits of a tile into registers, -inf at the target and beyond the row's end. Returns
/// the thread's sum of weight times logit, if requested.
template <int n, bool aligned, class P, class Acc, int packs>
__device__ Acc load_logits(P const& products, Tile const& tile, bool sum_logits,
                           Pack<Acc, n> (&values)[packs]) {
  constexpr Acc none = -std::numeric_limits<Acc>::infinity();
  int64_t const target = products.target(tile);
  Acc sum = 0;
#pragma unroll
  for (int p = 0; p < packs; ++p) {
    int64_t const pack = p * blockDim.x + threadIdx.x;
    values[p] = products.template logits<n, aligned>(
        tile, pack, products.template load_products<n, aligned>(tile, pack));
    auto const left_out = [&](int j) {
      return pack * n + j == target || pack * n + j >= tile.size;
    };
    if (sum_logits) {
      auto const weights = products.template class_weights<n, aligned>(tile, pack);
#pragma unroll
      for (int j = 0; j < n; ++j)
        if (!left_out(j)) sum += weights.at[j] * values[p].at[j];
    }
#pragma unroll
    for (int j = 0; j < n; ++j)
      if (left_out(j)) values[p].at[j] = none;
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

/// Reduces a tile to its maximum and, with `exponentials`, its sum of exp. The tile stays in
/// registers between the two.
template <bool aligned, bool exponentials, class Acc, class Others>
__global__ void softmax_tile_kernel(Products<Acc, Others> products, bool sum_logits,
                                    TileSum<Acc>* sums) {
  constexpr int n = pack_size<Acc>, packs = RowTiles::thread_columns / n;
  Pack<Acc, n> values[packs];
  Acc logits = load_logits<n, aligned>(products, products.tiles.at(blockIdx.x), sum_logits, values);
  Acc const max = largest(values);
  Acc sum = 0;
  if constexpr (exponentials) {
    Acc const ref = math::reference(max);
#pragma unroll
    for (int i = 0; i < packs * n; ++i) sum += math::exp(values[i / n].at[i % n] - ref);
    sum = reduce_block(sum, Plus{});
  }
  if (sum_logits) {
    if constexpr (exponentials) __syncthreads();  // between two reductions with Plus
    logits = reduce_block(logits, Plus{});
  }
  if (threadIdx.x == 0) sums[blockIdx.x] = {{max, sum}, logits};
}

/// One warp per row: merges its target and tiles into the statistics. Unless null, writes the
/// reference of exponentials, and the factor by which those of earlier chunks must be multiplied.
template <class Acc>
__global__ void softmax_chunk_kernel(RowTiles tiles, TileSum<Acc> const* sums, TargetRule<Acc> rule,
                                     int64_t const* labels, int64_t first, Acc const* z, Acc* stats,
                                     Acc* reference, Acc* rescale) {
  int64_t const row = first_of_grid() / warp_size;
  if (row >= tiles.rows) return;
  TileSum<Acc> all{math::no_classes<Acc>, 0};
  for (int64_t tile = lane_of_warp(); tile < tiles.of_row; tile += warp_size)
    all = MergeTiles{}(all, sums[row * tiles.of_row + tile]);
  all = reduce_warp(all, MergeTiles{});
  if (lane_of_warp() != 0) return;
  Acc* const out = stats + RowStatistics::count * row;
  SoftmaxSum<Acc> const before{out[RowStatistics::max], out[RowStatistics::sum]};
  int64_t const target = labels[row] - first;
  auto merged = before;
  out[RowStatistics::logits] += all.logits;
  if (0 <= target && target < tiles.width)
    merged = math::merge(merged, rule(row, target, z[row * tiles.width + target], out));
  merged = math::merge(merged, all.exponentials);
  out[RowStatistics::max] = merged.max;
  out[RowStatistics::sum] = merged.sum;
  if (reference == nullptr) return;
  reference[row] = math::reference(merged.max);
  rescale[row] = math::rescale(before.max, reference[row]);
}

/// out := f(product, logit, weight) for the classes of the block's tile; `target_value` for the
/// target.
template <int n, bool aligned, class T, class Acc, class Others, class F>
__device__ void write_tile(Products<Acc, Others> const& products, Tile const& tile,
                           Acc target_value, T* out, F&& f) {
  int64_t const target = products.target(tile);
#pragma unroll
  for (int p = 0; p < RowTiles::thread_columns / n; ++p) {
    int64_t const pack = p * blockDim.x + threadIdx.x;
    auto const z = products.template load_products<n, aligned>(tile, pack);
    auto const logits = products.template logits<n, aligned>(tile, pack, z);
    auto const weights = products.template class_weights<n, aligned>(tile, pack);
    Pack<T, n> values;
#pragma unroll
    for (int j = 0; j < n; ++j) {
      int64_t const c = pack * n + j;
      values.at[j] = T(c == target      ? target_value
                       : c >= tile.size ? Acc(0)
                                        : f(z.at[j], logits.at[j], weights.at[j]));
    }
    store_part<n, aligned>(values, out + tile.row * products.tiles.width + tile.begin, pack,
                           tile.size);
  }
}

template <bool aligned, class T, class Acc, class Others>
__global__ void softmax_exponentials_kernel(Products<Acc, Others> products, Acc const* reference,
                                            T* e, Acc* sums) {
  Tile const tile = products.tiles.at(blockIdx.x);
  Acc const ref = reference[tile.row];
  auto const rule = products.others.at(tile.row);
  Acc sum = 0;
  write_tile<pack_size<Acc>, aligned>(products, tile, Acc(0), e, [&](Acc z, Acc logit, Acc) {
    Acc const x = math::exp(logit - ref);
    sum += x;
    return x * rule.slope(z);
  });
  sum = reduce_block(sum, Plus{});
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

/// One warp per row: adds the sums of its tiles' exponentials to the statistics.
template <class Acc>
__global__ void softmax_add_kernel(RowTiles tiles, Acc const* sums, Acc* stats) {
  int64_t const row = first_of_grid() / warp_size;
  if (row >= tiles.rows) return;
  Acc sum = 0;
  for (int64_t tile = lane_of_warp(); tile < tiles.of_row; tile += warp_size)
    sum += sums[row * tiles.of_row + tile];
  sum = reduce_warp(sum, Plus{});
  if (lane_of_warp() == 0) stats[RowStatistics::count * row + RowStatistics::sum] += sum;
}

template <bool aligned, class T, class Acc, class Others>
__global__ void softmax_gradient_kernel(Products<Acc, Others> products, Acc const* rows, T* g) {
  Tile const tile = products.tiles.at(blockIdx.x);
  Acc const* const factors = rows + RowGradient::count * tile.row;
  Acc const lse = factors[RowGradient::lse];
  bool const counts = RowGradient::counts(factors);
  math::OtherGradient<Acc> const gradient(factors);
  auto const rule = products.others.at(tile.row);
  write_tile<pack_size<Acc>, aligned>(
      products, tile, factors[RowGradient::target], g, [&](Acc z, Acc logit, Acc weight) {
        return counts ? gradient(math::exp(logit - lse), rule.slope(z), weight) : Acc(0);
      });
}

template <bool aligned, class T, class Acc>
__global__ void softmax_stored_kernel(RowTiles tiles, Acc const* weights, Acc scale,
                                      int64_t const* labels, int64_t first, Acc const* reference,
                                      Acc const* rows, T* e) {
  constexpr int n = pack_size<T>;
  Tile const tile = tiles.at(blockIdx.x);
  Acc const* const factors = rows + RowGradient::count * tile.row;
  bool const counts = RowGradient::counts(factors);
  Acc const share =
      factors[RowGradient::softmax] * math::exp(reference[tile.row] - factors[RowGradient::lse]);
  Acc const uniform = factors[RowGradient::uniform] * scale;
  T* const out = e + tile.row * tiles.width + tile.begin;
  int64_t const target = labels[tile.row] - first - tile.begin;
#pragma unroll
  for (int p = 0; p < RowTiles::thread_columns / n; ++p) {
    int64_t const pack = p * blockDim.x + threadIdx.x;
    auto values = load_part<n, aligned>(static_cast<T const*>(out), pack, tile.size, T(Acc(0)));
#pragma unroll
    for (int j = 0; j < n; ++j) {
      int64_t const c = pack * n + j;
      Acc const weight = weights != nullptr && c < tile.size ? weights[tile.begin + c] : Acc(1);
      Acc const value = share * Acc(values.at[j]) - uniform * weight;
      values.at[j] = T(!counts ? Acc(0) : c == target ? factors[RowGradient::target] : value);
    }
    store_part<n, aligned>(values, out, pack, tile.size);
  }
}

Grid grid_of_rows(int64_t rows) {
  constexpr int64_t threads = 128;
  return grid_of_blocks((rows * warp_size + threads - 1) / threads, threads);
}

/// Merges a chunk into the statistics, with or without the sum of exponentials.
template <bool exponentials, class Acc>
void add_chunk(StreamHandle stream, LogitRule const& rule, ClassChunk const& chunk,
               Tensor const& labels, Tensor const& z, Tensor& stats, Acc* reference, Acc* rescale) {
  RowTiles const tiles(z.size(0), z.size(1));
  Tensor scratch(z.device(), {tiles.rows, tiles.of_row, 3}, z.dtype());
  auto* const sums = reinterpret_cast<TileSum<Acc>*>(scratch.data<Acc>());
  if (tiles.of_row > 0)
    with_products<Acc, pack_size<Acc>>(
        rule, chunk, labels, z,
        [&]<class Others>(Products<Acc, Others> const& products, auto aligned) {
          launch(softmax_tile_kernel<aligned, exponentials, Acc, Others>, tiles.grid(), stream,
                 products, rule.sum_logits, sums);
        });
  launch(softmax_chunk_kernel<Acc>, grid_of_rows(tiles.rows), stream, tiles, sums,
         TargetRule<Acc>(rule, chunk), labels.data<int64_t>(), chunk.first, z.data<Acc>(),
         stats.data<Acc>(), reference, rescale);
}

}  // namespace

void CudaKernels::softmax_statistics(LogitRule const& rule, ClassChunk const& chunk,
                                     Tensor const& labels, Tensor const& z, Tensor& stats) {
  if (z.size(0) == 0) return;
  visit_wide(z.dtype(), [&]<class Acc>() {
    Acc* const none = nullptr;
    add_chunk<true>(stream_, rule, chunk, labels, z, stats, none, none);
  });
}

void CudaKernels::softmax_exponentials(LogitRule const& rule, ClassChunk const& chunk,
                                       Tensor const& labels, Tensor const& z, Tensor& stats,
                                       Tensor& e, Tensor& reference, Tensor& rescale) {
  RowTiles const tiles(z.size(0), z.size(1));
  if (tiles.rows == 0) return;
  visit_floating(e.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    Acc* const ref = reference.data<Acc>();
    add_chunk<false>(stream_, rule, chunk, labels, z, stats, ref, rescale.data<Acc>());
    if (tiles.of_row == 0) return;
    Tensor scratch(z.device(), {tiles.rows, tiles.of_row}, z.dtype());
    with_products<Acc, pack_size<Acc>>(
        rule, chunk, labels, z,
        [&]<class Others>(Products<Acc, Others> const& products, auto aligned) {
          launch(softmax_exponentials_kernel<aligned, T, Acc, Others>, tiles.grid(), stream_,
                 products, ref, e.data<T>(), scratch.data<Acc>());
        },
        e.data<T>());
    launch(softmax_add_kernel<Acc>, grid_of_rows(tiles.rows), stream_, tiles, scratch.data<Acc>(),
           stats.data<Acc>());
  });
}

void CudaKernels::softmax_gradient(LogitRule const& rule, ClassChunk const& chunk,
                                   Tensor const& labels, Tensor const& z, Tensor const& rows,
                                   Tensor& g) {
  if (z.count() == 0) return;
  visit_floating(g.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    with_products<Acc, pack_size<Acc>>(
        rule, chunk, labels, z,
        [&]<class Others>(Products<Acc, Others> const& products, auto aligned) {
          launch(softmax_gradient_kernel<aligned, T, Acc, Others>, products.tiles.grid(), stream_,
                 products, rows.data<Acc>(), g.data<T>());
        },
        g.data<T>());
  });
}

void CudaKernels::softmax_gradient_stored(LogitRule const& rule, ClassChunk const& chunk,
                                          Tensor const& labels, Tensor const& reference,
                                          Tensor const& rows, Tensor& e) {
  if (e.count() == 0) return;
  RowTiles const tiles(e.size(0), e.size(1));
  visit_floating(e.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    with(rows_pack<pack_size<T>>(tiles.width, e.data<T>()), [&](auto aligned) {
      launch(softmax_stored_kernel<aligned, T, Acc>, tiles.grid(), stream_, tiles,
             data_or_null<Acc>(chunk.weights), static_cast<Acc>(rule.scale), labels.data<int64_t>(),
             chunk.first, reference.data<Acc>(), rows.data<Acc>(), e.data<T>());
    });
  });
}

}  // namespace core::cuda
