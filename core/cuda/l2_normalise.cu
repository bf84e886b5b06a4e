#include "core/cuda/kernels.h"
#include "core/cuda/tiles.cuh"
#include "core/dispatch.h"
#include "core/math/accumulator.h"
#include "core/math/l2.h"

namespace core::cuda {
namespace {

using math::Accumulator;

constexpr unsigned row_threads = 128;  // four rows per block, one warp each

__device__ int64_t row_of_warp() { return first_of_grid() / warp_size; }

Grid grid_of_rows(int64_t rows) {
  constexpr int64_t together = row_threads / warp_size;
  return grid_of_blocks((rows + together - 1) / together, row_threads);
}

/// Returns <a, b> in all lanes of the warp.
template <int n, bool aligned, class A, class B>
__device__ Accumulator<A> inner(A const* a, B const* b, int64_t width) {
  using Acc = Accumulator<A>;
  Acc sum = 0;
#pragma unroll 4
  for (int64_t pack = lane_of_warp(); pack * n < width; pack += warp_size) {
    auto const x = load_part<n, aligned>(a, pack, width, A(0));
    auto const y = load_part<n, aligned>(b, pack, width, B(0));
#pragma unroll
    for (int j = 0; j < n; ++j) sum += Acc(x.at[j]) * Acc(y.at[j]);
  }
  return reduce_warp(sum, Plus{});
}

template <int n, bool aligned, class T>
__global__ void row_products_kernel(int64_t rows, int64_t width, T const* x, T const* y,
                                    Accumulator<T>* out) {
  int64_t const row = row_of_warp(), at = row * width;
  if (row >= rows) return;
  Accumulator<T> const product = inner<n, aligned>(x + at, y + at, width);
  if (lane_of_warp() == 0) out[row] = product;
}

template <int n, bool aligned, class T, class Y>
__global__ void l2_normalise_kernel(int64_t rows, int64_t width, T const* x, Y* y,
                                    Accumulator<T>* norm) {
  int64_t const row = row_of_warp();
  if (row >= rows) return;
  T const* const from = x + row * width;
  Accumulator<T> const length = std::sqrt(inner<n, aligned>(from, from, width));
  Accumulator<T> const divisor = math::l2_divisor(length);
  if (lane_of_warp() == 0) norm[row] = length;
  for (int64_t pack = lane_of_warp(); pack * n < width; pack += warp_size) {
    auto const values = load_part<n, aligned>(from, pack, width, T(0));
    Pack<Y, n> results;
#pragma unroll
    for (int j = 0; j < n; ++j) results.at[j] = Y(values.at[j] / divisor);
    store_part<n, aligned>(results, y + row * width, pack, width);
  }
}

template <int n, bool aligned, class T, class Y>
__global__ void l2_normalise_backward_kernel(int64_t rows, int64_t width, Y const* y,
                                             Accumulator<T> const* norm, T const* dy, T* dx) {
  using Acc = Accumulator<T>;
  int64_t const row = row_of_warp(), at = row * width;
  if (row >= rows) return;
  Acc const dot = inner<n, aligned>(dy + at, y + at, width), divisor = math::l2_divisor(norm[row]);
  for (int64_t pack = lane_of_warp(); pack * n < width; pack += warp_size) {
    auto const out = load_part<n, aligned>(y + at, pack, width, Y(0));
    auto slope = load_part<n, aligned>(dy + at, pack, width, T(0));
#pragma unroll
    for (int j = 0; j < n; ++j)
      slope.at[j] = T(math::l2_backward<Acc>(out.at[j], slope.at[j], dot, divisor));
    store_part<n, aligned>(slope, dx + at, pack, width);
  }
}

}  // namespace

void CudaKernels::row_products(Tensor const& x, Tensor const& y, Tensor& out) {
  int64_t const rows = out.count(), width = channels(x);
  if (rows == 0) return;
  visit_floating(x.dtype(), [&]<class T>() {
    constexpr int n = pack_size<T>;
    with(rows_pack<n>(width, x.data<T>(), y.data<T>()), [&](auto aligned) {
      launch(row_products_kernel<n, aligned, T>, grid_of_rows(rows), stream_, rows, width,
             x.data<T>(), y.data<T>(), out.data<Accumulator<T>>());
    });
  });
}

void CudaKernels::l2_normalise(Tensor const& x, Tensor& y, Tensor& norm) {
  int64_t const rows = norm.count(), width = channels(x);
  if (rows == 0) return;
  visit_rounded(x.dtype(), y.dtype(), [&]<class T, class Y>() {
    constexpr int n = pack_size<T, Y>;
    with(rows_pack<n>(width, x.data<T>(), y.data<Y>()), [&](auto aligned) {
      launch(l2_normalise_kernel<n, aligned, T, Y>, grid_of_rows(rows), stream_, rows, width,
             x.data<T>(), y.data<Y>(), norm.data<Accumulator<T>>());
    });
  });
}

void CudaKernels::l2_normalise_backward(Tensor const& y, Tensor const& norm, Tensor const& dy,
                                        Tensor& dx) {
  int64_t const rows = norm.count(), width = channels(y);
  if (rows == 0) return;
  visit_rounded(dy.dtype(), y.dtype(), [&]<class T, class Y>() {
    constexpr int n = pack_size<T, Y>;
    with(rows_pack<n>(width, y.data<Y>(), dy.data<T>(), dx.data<T>()), [&](auto aligned) {
      launch(l2_normalise_backward_kernel<n, aligned, T, Y>, grid_of_rows(rows), stream_, rows,
             width, y.data<Y>(), norm.data<Accumulator<T>>(), dy.data<T>(), dx.data<T>());
    });
  });
}

}  // namespace core::cuda
