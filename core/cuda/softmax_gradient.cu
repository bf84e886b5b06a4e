#include "core/cuda/kernels.h"
#include "core/cuda/softmax_products.cuh"
#include "core/math/accumulator.h"

namespace core::cuda {
namespace {

using math::RowGradient;
using math::TileSum;

/// Exponentials with their references.
template <class T, class Acc>
struct Exponentials {
  Acc const* gradients;  ///< (B, RowGradient::count), or null
  int64_t rows, chunk, count, pitch;
  int64_t tiles;
  TileSum<Acc>* sums;  ///< (tiles, B)
  Acc* reference;      ///< (B)
  T* e;
  int64_t width;  ///< D
  Acc* row_sums;  ///< (B, D), or null

  __device__ Acc& of_tile(int64_t tile, int64_t row) const {
    return sums[tile * rows + row].exponentials.max;
  }
  /// True if the tile must be converted to the reference `now`.
  __device__ bool other(int64_t tile, int64_t row, Acc now) const {
    Acc const ref = of_tile(tile, row);
    return ref != now && std::isfinite(ref);
  }
};

/// One block per row: Kernels::softmax_align.
template <class T, class Acc>
__global__ void softmax_align_kernel(Exponentials<T, Acc> of) {
  int64_t const row = blockIdx.x;
  Acc const before = of.reference[row];
  Acc now = before;
  for (int64_t t = threadIdx.x; t < of.tiles; t += blockDim.x)
    now = Larger{}(now, of.of_tile(t, row));
  now = reduce_block(now, Larger{});
  if (of.gradients != nullptr)
    now = math::aligned_reference(now, of.gradients[RowGradient::count * row + RowGradient::lse]);
  int others = 0;
  for (int64_t t = threadIdx.x; t < of.tiles; t += blockDim.x) others += of.other(t, row, now);
  others = reduce_block(others, Plus{});
  if (threadIdx.x == 0) of.reference[row] = now;
  if (now != before && of.row_sums != nullptr)
    for (int64_t i = threadIdx.x; i < of.width; i += blockDim.x)
      of.row_sums[row * of.width + i] *= math::rescale(before, now);
  if (others == 0) return;
  for (int64_t t = 0; t < of.tiles; ++t) {
    if (!of.other(t, row, now)) continue;
    Acc const factor = math::rescale(of.of_tile(t, row), now);
    math::TileColumns const columns(t, of.chunk, of.count);
    for (int64_t c = columns.begin + threadIdx.x; c < columns.end; c += blockDim.x) {
      T& value = of.e[row * of.pitch + c];
      value = T(factor * Acc(value));
    }
  }
  __syncthreads();  // all threads have read the tiles' references
  for (int64_t t = threadIdx.x; t < of.tiles; t += blockDim.x)
    if (of.other(t, row, now)) {
      auto& tile = of.sums[t * of.rows + row].exponentials;
      tile = {now, tile.sum * math::rescale(tile.max, now)};
    }
}

/// One thread per row: Kernels::softmax_targets.
template <class T, class Acc>
__global__ void softmax_targets_kernel(int64_t rows, int64_t first, int64_t count,
                                       int64_t const* labels, Acc const* gradients,
                                       Acc const* factors, T* e, int64_t pitch) {
  for (int64_t row = first_of_grid(); row < rows; row += step_of_grid()) {
    int64_t const target = labels[row] - first;
    if (0 <= target && target < count)
      e[row * pitch + target] = T(math::RowGradient::target_exponential(
          gradients + RowGradient::count * row, factors[row]));
  }
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
                                      Acc const* rows, T* e, int64_t pitch) {
  constexpr int n = pack_size<T>;
  Tile const tile = tiles.at(blockIdx.x);
  Acc const* const factors = rows + RowGradient::count * tile.row;
  bool const counts = RowGradient::counts(factors);
  Acc const share =
      factors[RowGradient::softmax] * math::exp(reference[tile.row] - factors[RowGradient::lse]);
  Acc const uniform = factors[RowGradient::uniform] * scale;
  T* const out = e + tile.row * pitch + tile.begin;
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

}  // namespace

void CudaKernels::softmax_align(Tensor const& rows, int64_t chunk, Tensor& tiles, Tensor& reference,
                                Columns& e, Tensor& sums) {
  if (e.rows() == 0) return;
  visit_floating(e.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    Exponentials<T, Acc> const of{data_or_null<Acc>(rows),
                                  e.rows(),
                                  chunk,
                                  e.count,
                                  e.pitch(),
                                  tiles.size(0),
                                  reinterpret_cast<TileSum<Acc>*>(tiles.data<Acc>()),
                                  reference.data<Acc>(),
                                  e.data<T>(),
                                  sums ? sums.size(1) : 0,
                                  sums ? sums.data<Acc>() : nullptr};
    launch(softmax_align_kernel<T, Acc>, grid_of_blocks(e.rows(), map_threads), stream_, of);
  });
}

void CudaKernels::softmax_targets(int64_t first, Tensor const& labels, Tensor const& rows,
                                  Tensor const& factors, Columns& e) {
  if (e.empty()) return;
  visit_floating(e.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    launch(softmax_targets_kernel<T, Acc>, grid_of(e.rows()), stream_, e.rows(), first, e.count,
           labels.data<int64_t>(), rows.data<Acc>(), factors.data<Acc>(), e.data<T>(), e.pitch());
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
                                          Tensor const& rows, Columns& e) {
  if (e.empty()) return;
  RowTiles const tiles(e.rows(), e.count);
  visit_floating(e.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    constexpr int n = pack_size<T>;
    bool const packed = e.pitch() % n == 0 && rows_pack<n>(tiles.width, std::as_const(e).data<T>());
    with(packed, [&](auto aligned) {
      launch(softmax_stored_kernel<aligned, T, Acc>, tiles.grid(), stream_, tiles,
             data_or_null<Acc>(chunk.weights), static_cast<Acc>(rule.scale), labels.data<int64_t>(),
             chunk.first, reference.data<Acc>(), rows.data<Acc>(), e.data<T>(), e.pitch());
    });
  });
}

}  // namespace core::cuda
