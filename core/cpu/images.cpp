#include <algorithm>
#include <limits>
#include <vector>
#include "core/cpu/kernels.h"
#include "core/cpu/onednn.h"
#include "core/cpu/parallel.h"
#include "core/cpu/reference.h"
#include "core/math/accumulator.h"
#include "core/math/pool.h"

namespace core::cpu {

namespace {

using math::Accumulator;

/// oneDNN supports neither f64 nor empty tensors.
bool use_loops(Tensor const& a, Tensor const& b, Tensor const& c) {
  return a.dtype() == Dtype::f64 || a.count() == 0 || b.count() == 0 || c.count() == 0;
}

/// Pooling from large images (N, h, w, ch) to small images (N, rows, columns, ch).
struct Pooling {
  Window const& window;
  int64_t images, h, w, rows, columns, ch;

  Pooling(Tensor const& large, Window const& window, Tensor const& small)
      : window(window),
        images(large.size(0)),
        h(large.size(1)),
        w(large.size(2)),
        rows(small.size(1)),
        columns(small.size(2)),
        ch(large.size(3)) {}

  int64_t large() const { return h * w * ch; }
  int64_t small() const { return rows * columns * ch; }
  /// Weight of one pixel in a mean.
  double share() const { return 1 / static_cast<double>(window.size.h * window.size.w); }

  /// Calls f(from, to, place) for each pixel in each window of an image: `from` is the offset of
  /// the pixel's channels in the large image, `to` that of the window's in the small image, `place`
  /// the pixel's index in the window. Padding is skipped; the indices of a window are ascending.
  template <class F>
  void each_pixel(F f) const {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j)
        for (int64_t a = 0; a < window.size.h; ++a)
          for (int64_t b = 0; b < window.size.w; ++b) {
            int64_t const row = i * window.stride.h - window.padding.h + a * window.dilation.h;
            int64_t const col = j * window.stride.w - window.padding.w + b * window.dilation.w;
            if (row < 0 || row >= h || col < 0 || col >= w) continue;
            f((row * w + col) * ch, (i * columns + j) * ch,
              static_cast<int32_t>(a * window.size.w + b));
          }
  }
};

template <class T>
void max_pool_image(Pooling const& pool, T const* x, T* y, int32_t* where) {
  std::fill_n(y, pool.small(), static_cast<T>(-std::numeric_limits<float>::infinity()));
  std::fill_n(where, pool.small(), -1);  // remains for windows without pixels
  pool.each_pixel([&](int64_t from, int64_t to, int32_t place) {
    simd(0, pool.ch, [=](int64_t c) {
      Accumulator<T> const value = x[from + c], best = y[to + c];
      bool const wins = math::pool_wins(value, best, where[to + c]);
      y[to + c] = static_cast<T>(wins ? value : best);
      where[to + c] = wins ? place : where[to + c];
    });
  });
}

/// dx: sums of the image, zero on entry.
template <class T>
void max_pool_image_backward(Pooling const& pool, T const* dy, int32_t const* where,
                             Accumulator<T>* dx) {
  pool.each_pixel([&](int64_t from, int64_t to, int32_t place) {
    simd(0, pool.ch, [=](int64_t c) {
      dx[from + c] += where[to + c] == place ? static_cast<Accumulator<T>>(dy[to + c]) : 0;
    });
  });
}

template <class T>
void average_pool_image(Pooling const& pool, T const* x, Accumulator<T>* y) {
  pool.each_pixel([&](int64_t from, int64_t to, int32_t) {
    simd(0, pool.ch, [=](int64_t c) { y[to + c] += static_cast<Accumulator<T>>(x[from + c]); });
  });
}

template <class T>
void average_pool_image_backward(Pooling const& pool, T const* dy, Accumulator<T>* dx) {
  pool.each_pixel([&](int64_t from, int64_t to, int32_t) {
    simd(0, pool.ch, [=](int64_t c) { dx[from + c] += static_cast<Accumulator<T>>(dy[to + c]); });
  });
}

/// out[n] := factor * the `size` sums that add(n, sums) accumulates for image n, starting from 0.
template <class T, class F>
void sum_images(int64_t images, int64_t size, double factor, T* out, F const& add) {
#pragma omp parallel
  {
    std::vector<Accumulator<T>> sums(static_cast<size_t>(size));
#pragma omp for
    for (int64_t n = 0; n < images; ++n) {
      std::fill(sums.begin(), sums.end(), Accumulator<T>{0});
      add(n, sums.data());
      simd(0, size,
           [to = out + n * size, from = sums.data(), by = static_cast<Accumulator<T>>(factor)](
               int64_t i) { to[i] = static_cast<T>(by * from[i]); });
    }
  }
}

}  // namespace

void CpuKernels::conv2d(Tensor const& x, Tensor const& w, Tensor const& bias, Window const& window,
                        int64_t groups, Tensor& y) {
  if (!use_loops(x, w, y)) return onednn_->conv2d(x, w, bias, window, groups, y);
  visit_floating(x.dtype(), [&]<class T>() {
    reference::conv2d<T, Accumulator<T>>(x, w, bias, window, groups, y);
  });
}

void CpuKernels::conv2d_backward_input(Tensor const& dy, Tensor const& w, Window const& window,
                                       int64_t groups, Store store, Tensor& dx) {
  if (!use_loops(dy, w, dx))
    return onednn_->conv2d_backward_input(dy, w, window, groups, store, dx);
  visit_floating(dx.dtype(), [&]<class T>() {
    reference::conv2d_backward_input<T>(dy, w, window, groups, store, dx);
  });
}

void CpuKernels::conv2d_backward_weights(Tensor const& x, Tensor const& dy, Window const& window,
                                         int64_t groups, Tensor& dw) {
  if (!use_loops(x, dy, dw)) return onednn_->conv2d_backward_weights(x, dy, window, groups, dw);
  visit_floating(x.dtype(), [&]<class T>() {
    reference::conv2d_backward_weights<T, Accumulator<T>>(x, dy, window, groups, dw);
  });
}

void CpuKernels::max_pool(Tensor const& x, Window const& window, Tensor& y, Tensor& where) {
  Pooling const pool(x, window, y);
  visit_floating(x.dtype(), [&]<class T>() {
    T const* const in = x.data<T>();
    T* const out = y.data<T>();
    auto* const indices = where.data<int32_t>();
    for_blocks(pool.images, 1, [&](int64_t n, int64_t) {
      int64_t const at = n * pool.small();
      max_pool_image(pool, in + n * pool.large(), out + at, indices + at);
    });
  });
}

void CpuKernels::max_pool_backward(Tensor const& dy, Tensor const& where, Window const& window,
                                   Tensor& dx) {
  Pooling const pool(dx, window, dy);
  visit_floating(dy.dtype(), [&]<class T>() {
    T const* const out = dy.data<T>();
    auto const* const indices = where.data<int32_t>();
    sum_images<T>(pool.images, pool.large(), 1, dx.data<T>(), [&](int64_t n, Accumulator<T>* sums) {
      int64_t const at = n * pool.small();
      max_pool_image_backward(pool, out + at, indices + at, sums);
    });
  });
}

void CpuKernels::average_pool(Tensor const& x, Window const& window, Tensor& y) {
  Pooling const pool(x, window, y);
  visit_floating(x.dtype(), [&]<class T>() {
    T const* const in = x.data<T>();
    sum_images<T>(pool.images, pool.small(), pool.share(), y.data<T>(),
                  [&](int64_t n, Accumulator<T>* sums) {
                    average_pool_image(pool, in + n * pool.large(), sums);
                  });
  });
}

void CpuKernels::average_pool_backward(Tensor const& dy, Window const& window, Tensor& dx) {
  Pooling const pool(dx, window, dy);
  visit_floating(dy.dtype(), [&]<class T>() {
    T const* const out = dy.data<T>();
    sum_images<T>(pool.images, pool.large(), pool.share(), dx.data<T>(),
                  [&](int64_t n, Accumulator<T>* sums) {
                    average_pool_image_backward(pool, out + n * pool.small(), sums);
                  });
  });
}

}  // namespace core::cpu
