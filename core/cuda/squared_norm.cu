#include "core/cuda/kernels.h"
#include "core/cuda/tiles.cuh"
#include "core/device.h"
#include "core/dispatch.h"
#include "core/math/update.h"

namespace core::cuda {
namespace {

/// parts (rows, tiles of a row): the sum of squares of each tile.
template <int n, bool aligned, class T>
__global__ void tile_squares_kernel(RowTiles tiles, T const* x, double* parts) {
  Tile const tile = tiles.at(blockIdx.x);
  T const* const from = x + tile.row * tiles.width + tile.begin;
  double sum = 0;
  for (int64_t pack = threadIdx.x; pack * n < tile.size; pack += blockDim.x) {
    auto const values = load_part<n, aligned>(from, pack, tile.size, T(0));
#pragma unroll
    for (int j = 0; j < n; ++j) sum += double(values.at[j]) * double(values.at[j]);
  }
  sum = reduce_block(sum, Plus{});
  if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

/// Sums of squares of rows of x, one per tile.
struct Squares {
  RowTiles tiles;
  Tensor parts;

  Squares(StreamHandle stream, Tensor const& x, int64_t rows)
      : tiles(rows, rows == 0 ? 0 : x.count() / rows),
        parts(x.device(), {rows * tiles.of_row}, Dtype::f64) {
    if (parts.count() == 0) return;
    visit_floating(x.dtype(), [&]<class T>() {
      constexpr int n = pack_size<T>;
      with(rows_pack<n>(tiles.width, x.data<T>()), [&](auto aligned) {
        launch(tile_squares_kernel<n, aligned, T>, tiles.grid(), stream, tiles, x.data<T>(),
               parts.data<double>());
      });
    });
  }
};

struct AddSquares {
  using Total = double;
  double const* parts;
  double* sum;

  __device__ Total at(int64_t part) const { return parts[part]; }
  __device__ void finish(Total total, int64_t) const { *sum += total; }
};

struct SquaresOfBoth {
  double w, g;
  __device__ SquaresOfBoth operator+(SquaresOfBoth const& other) const {
    return {w + other.w, g + other.g};
  }
};

template <class Acc>
struct Trust {
  using Total = SquaresOfBoth;
  double eta, decay;
  double const *factor, *of_w, *of_g;
  Acc* trust;

  __device__ Total at(int64_t part) const { return {of_w[part], of_g[part]}; }
  __device__ void finish(Total const& total, int64_t row) const {
    double const scale = factor ? *factor : 1;
    trust[row] = static_cast<Acc>(math::lars_trust_ratio(eta, decay, scale, total.w, total.g));
  }
};

/// One warp per row: calls finish(sum of its tiles' parts, row).
template <class F>
__global__ void merge_tiles_kernel(int64_t rows, int64_t of_row, F f) {
  int64_t const row = first_of_grid() / warp_size;
  if (row >= rows) return;
  typename F::Total total{};
  for (int64_t tile = lane_of_warp(); tile < of_row; tile += warp_size)
    total = total + f.at(row * of_row + tile);
  total = reduce_warp(total, Plus{});
  if (lane_of_warp() == 0) f.finish(total, row);
}

template <class F>
void merge_tiles(StreamHandle stream, RowTiles const& tiles, F const& f) {
  constexpr int64_t together = map_threads / warp_size;
  if (tiles.rows == 0) return;
  launch(merge_tiles_kernel<F>, grid_of_blocks((tiles.rows + together - 1) / together, map_threads),
         stream, tiles.rows, tiles.of_row, f);
}

__global__ void clip_kernel(double most, double const* squares, double* factor) {
  *factor = math::clip_factor(most, *squares, *factor);
}

}  // namespace

void CudaKernels::add_squared_norm(Tensor const& x, Tensor& sum) {
  Squares const of_x(stream_, x, 1);
  merge_tiles(stream_, of_x.tiles, AddSquares{of_x.parts.data<double>(), sum.data<double>()});
}

void CudaKernels::clip_factor(double most, Tensor const& squares, Tensor& factor) {
  launch(clip_kernel, Grid{dim3(1), 1}, stream_, most, squares.data<double>(),
         factor.data<double>());
}

void CudaKernels::lars_trust_ratio(double eta, double decay, Tensor const& factor, Tensor const& g,
                                   Tensor const& w, Tensor& trust) {
  Squares const of_w(stream_, w, trust.count()), of_g(stream_, g, trust.count());
  visit_wide(trust.dtype(), [&]<class Acc>() {
    merge_tiles(stream_, of_w.tiles,
                Trust<Acc>{eta, decay, data_or_null<double>(factor), of_w.parts.data<double>(),
                           of_g.parts.data<double>(), trust.data<Acc>()});
  });
}

}  // namespace core::cuda
