#include "core/cuda/kernels.h"
#include "core/cuda/tiles.cuh"
#include "core/cuda/window.cuh"
#include "core/math/accumulator.h"
#include "core/math/pool.h"

namespace core::cuda {
namespace {

using math::Accumulator;

/// Pooling from large to small images, both in packs of n channels.
struct Pooling {
  Axes axes;
  Pixels large, small;

  Pooling(Tensor const& large, Window const& window, Tensor const& small, int64_t n)
      : axes(large, window, small), large(large, n), small(small, n) {}
};

/// Calls f(image, row, column, pack) for all of `over`: a block iterates over rows of pixels, its
/// threads over the packs of a row.
template <class F>
__global__ void each_pack_kernel(Pixels over, F f) {
  unsigned const across = over.channels < blockDim.x ? over.channels : blockDim.x;
  unsigned const down = blockDim.x / across, depth = threadIdx.x / across;
  if (depth >= down) return;
  for (int64_t line = blockIdx.x; line < over.images * over.rows; line += gridDim.x) {
    int64_t const image = line / over.rows, row = line - image * over.rows;
    for (int64_t column = depth; column < over.columns; column += down)
      for (int64_t pack = threadIdx.x % across; pack < over.channels; pack += across)
        f(image, row, column, pack);
  }
}

template <class F>
void each_pack(StreamHandle stream, Pixels const& over, F const& f) {
  if (over.count() == 0) return;
  constexpr int64_t most = 65536;
  launch(each_pack_kernel<F>,
         grid_of_blocks(std::min(over.images * over.rows, most),
                        warps_for(over.columns * over.channels)),
         stream, over, f);
}

template <class T, int n>
struct MaxPool {
  Pooling pool;
  T const* x;
  T* y;
  int32_t* where;

  __device__ void operator()(int64_t image, int64_t i, int64_t j, int64_t pack) const {
    Pack<T, n> best;
    Pack<int32_t, n> indices;
#pragma unroll
    for (int k = 0; k < n; ++k) {
      best.at[k] = static_cast<T>(-std::numeric_limits<float>::infinity());
      indices.at[k] = -1;
    }
    each_pixel(pool.axes, i, j, [&](int64_t row, int64_t column, int64_t a, int64_t b) {
      auto const values = load<n>(x, pool.large.at(image, row, column, pack));
#pragma unroll
      for (int k = 0; k < n; ++k) {
        if (!math::pool_wins<Accumulator<T>>(values.at[k], best.at[k], indices.at[k])) continue;
        best.at[k] = values.at[k];
        indices.at[k] = static_cast<int32_t>(a * pool.axes.w.size + b);
      }
    });
    store<n>(best, y, pool.small.at(image, i, j, pack));
    store<n>(indices, where, pool.small.at(image, i, j, pack));
  }
};

/// Sums of one pack of channels.
template <class T, int n>
struct PackSum {
  Accumulator<T> at[n] = {};

  __device__ void store_to(T* out, int64_t pack, Accumulator<T> factor) const {
    Pack<T, n> rounded;
#pragma unroll
    for (int k = 0; k < n; ++k) rounded.at[k] = static_cast<T>(factor * at[k]);
    store<n>(rounded, out, pack);
  }
  __device__ void add(Pack<T, n> const& values) {
#pragma unroll
    for (int k = 0; k < n; ++k) at[k] += static_cast<Accumulator<T>>(values.at[k]);
  }
};

template <class T, int n>
struct MaxPoolBackward {
  Pooling pool;
  T const* dy;
  int32_t const* where;
  T* dx;

  __device__ void operator()(int64_t image, int64_t row, int64_t column, int64_t pack) const {
    PackSum<T, n> sum;
    each_window(pool.axes, row, column, [&](int64_t i, int64_t j, int64_t a, int64_t b) {
      int64_t const at = pool.small.at(image, i, j, pack);
      auto slopes = load<n>(dy, at);
      auto const indices = load<n>(where, at);
#pragma unroll
      for (int k = 0; k < n; ++k)
        if (indices.at[k] != a * pool.axes.w.size + b) slopes.at[k] = T(0);
      sum.add(slopes);
    });
    sum.store_to(dx, pool.large.at(image, row, column, pack), 1);
  }
};

template <class T, int n>
struct AveragePool {
  Pooling pool;
  T const* x;
  T* y;
  Accumulator<T> share;

  __device__ void operator()(int64_t image, int64_t i, int64_t j, int64_t pack) const {
    PackSum<T, n> sum;
    each_pixel(pool.axes, i, j, [&](int64_t row, int64_t column, int64_t, int64_t) {
      sum.add(load<n>(x, pool.large.at(image, row, column, pack)));
    });
    sum.store_to(y, pool.small.at(image, i, j, pack), share);
  }
};

template <class T, int n>
struct AveragePoolBackward {
  Pooling pool;
  T const* dy;
  T* dx;
  Accumulator<T> share;

  __device__ void operator()(int64_t image, int64_t row, int64_t column, int64_t pack) const {
    PackSum<T, n> sum;
    each_window(pool.axes, row, column, [&](int64_t i, int64_t j, int64_t, int64_t) {
      sum.add(load<n>(dy, pool.small.at(image, i, j, pack)));
    });
    sum.store_to(dx, pool.large.at(image, row, column, pack), share);
  }
};

/// Weight of one pixel in a mean.
template <class T>
Accumulator<T> share_of(Window const& window) {
  return static_cast<Accumulator<T>>(1 / static_cast<double>(window.size.h * window.size.w));
}

/// Calls run.operator()<n>() with packs of n channels if their number and all addresses allow it,
/// otherwise with n = 1.
template <class T, class Run, class... Data>
void with_packs(int64_t channels, Run const& run, Data const*... data) {
  constexpr int n = pack_size<T>;
  rows_pack<n>(channels, data...) ? run.template operator()<n>() : run.template operator()<1>();
}

}  // namespace

void CudaKernels::max_pool(Tensor const& x, Window const& window, Tensor& y, Tensor& where) {
  visit_floating(x.dtype(), [&]<class T>() {
    auto const run = [&]<int n>() {
      Pooling const pool(x, window, y, n);
      each_pack(stream_, pool.small,
                MaxPool<T, n>{pool, x.data<T>(), y.data<T>(), where.data<int32_t>()});
    };
    with_packs<T>(x.size(3), run, x.data<T>(), y.data<T>(), where.data<int32_t>());
  });
}

void CudaKernels::max_pool_backward(Tensor const& dy, Tensor const& where, Window const& window,
                                    Tensor& dx) {
  visit_floating(dy.dtype(), [&]<class T>() {
    auto const run = [&]<int n>() {
      Pooling const pool(dx, window, dy, n);
      each_pack(stream_, pool.large,
                MaxPoolBackward<T, n>{pool, dy.data<T>(), where.data<int32_t>(), dx.data<T>()});
    };
    with_packs<T>(dy.size(3), run, dy.data<T>(), where.data<int32_t>(), dx.data<T>());
  });
}

void CudaKernels::average_pool(Tensor const& x, Window const& window, Tensor& y) {
  visit_floating(x.dtype(), [&]<class T>() {
    auto const run = [&]<int n>() {
      Pooling const pool(x, window, y, n);
      each_pack(stream_, pool.small,
                AveragePool<T, n>{pool, x.data<T>(), y.data<T>(), share_of<T>(window)});
    };
    with_packs<T>(x.size(3), run, x.data<T>(), y.data<T>());
  });
}

void CudaKernels::average_pool_backward(Tensor const& dy, Window const& window, Tensor& dx) {
  visit_floating(dy.dtype(), [&]<class T>() {
    auto const run = [&]<int n>() {
      Pooling const pool(dx, window, dy, n);
      each_pack(stream_, pool.large,
                AveragePoolBackward<T, n>{pool, dy.data<T>(), dx.data<T>(), share_of<T>(window)});
    };
    with_packs<T>(dy.size(3), run, dy.data<T>(), dx.data<T>());
  });
}

}  // namespace core::cuda
