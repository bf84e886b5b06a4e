#pragma once
#include <algorithm>
#include "core/cuda/map.cuh"
#include "core/kernels.h"

/// Windows over images (N, H, W, Ch), and iteration over the pixels of a window and the windows of
/// a pixel.
namespace core::cuda {

/// One axis of an image and of the window.
struct Axis {
  int64_t pixels, windows;  ///< number of pixels and of window positions along the axis
  int64_t size, stride, padding, dilation;
};

struct Axes {
  Axis h, w;

  /// `image` (N, H, W, .) is the input of the windows, `result` (N, H', W', .) has one pixel per
  /// window.
  Axes(Tensor const& image, Window const& window, Tensor const& result)
      : h{image.size(1),   result.size(1),   window.size.h,
          window.stride.h, window.padding.h, window.dilation.h},
        w{image.size(2),   result.size(2),   window.size.w,
          window.stride.w, window.padding.w, window.dilation.w} {}
};

/// Calls f(pixel, place) for the pixels in a window, in ascending order; `place` is the index in
/// the window.
template <class F>
__device__ void each_pixel(Axis const& axis, int64_t window, F const& f) {
  int64_t pixel = window * axis.stride - axis.padding;
  for (int64_t place = 0; place < axis.size; ++place, pixel += axis.dilation)
    if (0 <= pixel && pixel < axis.pixels) f(pixel, place);
}

/// Calls f(window, place) for the windows that contain a pixel, in ascending order; `place` is the
/// pixel's index in each.
template <class F>
__device__ void each_window(Axis const& axis, int64_t pixel, F const& f) {
  int64_t const from = pixel + axis.padding, reach = axis.dilation * (axis.size - 1);
  int64_t const first = from > reach ? (from - reach + axis.stride - 1) / axis.stride : 0;
  for (int64_t window = first; window < axis.windows; ++window) {
    int64_t const gap = from - window * axis.stride;
    if (gap < 0) return;
    if (axis.dilation == 1)
      f(window, gap);
    else if (gap % axis.dilation == 0)
      f(window, gap / axis.dilation);
  }
}

/// Calls f(row, column, place row, place column) for the pixels in window (i, j).
template <class F>
__device__ void each_pixel(Axes const& axes, int64_t i, int64_t j, F const& f) {
  each_pixel(axes.h, i, [&](int64_t row, int64_t a) {
    each_pixel(axes.w, j, [&](int64_t column, int64_t b) { f(row, column, a, b); });
  });
}

/// Calls f(i, j, place row, place column) for the windows that contain pixel (row, column).
template <class F>
__device__ void each_window(Axes const& axes, int64_t row, int64_t column, F const& f) {
  each_window(axes.h, row, [&](int64_t i, int64_t a) {
    each_window(axes.w, column, [&](int64_t j, int64_t b) { f(i, j, a, b); });
  });
}

/// Sizes of an array (images, rows, columns, channels), the channels counted in packs.
struct Pixels {
  int64_t images, rows, columns, channels;

  Pixels(Tensor const& t, int64_t pack)
      : images(t.size(0)), rows(t.size(1)), columns(t.size(2)), channels(t.size(3) / pack) {}

  int64_t count() const { return images * rows * columns * channels; }
  __device__ int64_t at(int64_t image, int64_t row, int64_t column, int64_t channel) const {
    return ((image * rows + row) * columns + column) * channels + channel;
  }
};

}  // namespace core::cuda
