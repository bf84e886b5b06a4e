#include "core/cuda/cudnn.h"
#include "core/cuda/kernels.h"
#include "core/cuda/window.cuh"
#include "core/dispatch.h"
#include "core/math/accumulator.h"

namespace core::cuda {
namespace {

using math::Accumulator;

/// cuDNN has little support for f64, and none for empty tensors.
bool use_loops(Tensor const& a, Tensor const& b, Tensor const& c) {
  return a.dtype() == Dtype::f64 || a.count() == 0 || b.count() == 0 || c.count() == 0;
}

/// Convolution of x to y with w (Out, h, w, Ch / groups): output channels form blocks of
/// `out_block`, and block g uses block g of the input channels, `in_block` each.
struct Convolution {
  Axes axes;
  Pixels x, w, y;
  int64_t in_block, out_block;

  Convolution(Tensor const& x, Tensor const& w, Tensor const& y, Window const& window,
              int64_t groups)
      : axes(x, window, y),
        x(x, 1),
        w(w, 1),
        y(y, 1),
        in_block(w.size(3)),
        out_block(groups == 0 ? 0 : w.size(0) / groups) {}

  /// Returns the first input channel of the block that output channel `out` uses.
  __device__ int64_t first_in(int64_t out) const {
    return out_block == 0 ? 0 : out / out_block * in_block;
  }
};

/// Position of element i of an array.
struct Position {
  int64_t image, row, column, channel;

  __device__ Position(Pixels const& of, int64_t i) {
    channel = i % of.channels, i /= of.channels;
    column = i % of.columns, i /= of.columns;
    row = i % of.rows, image = i / of.rows;
  }
};

template <class T>
struct Forward {
  Convolution conv;
  T const *x, *w;
  Accumulator<T> const* bias;

  __device__ double operator()(int64_t index) const {
    Position const at(conv.y, index);
    int64_t const first = conv.first_in(at.channel);
    double sum = 0;
    each_pixel(conv.axes, at.row, at.column,
               [&](int64_t row, int64_t column, int64_t a, int64_t b) {
                 T const* const in = x + conv.x.at(at.image, row, column, first);
                 T const* const weight = w + conv.w.at(at.channel, a, b, 0);
                 for (int64_t c = 0; c < conv.in_block; ++c)
                   sum += double{in[c]} * double{weight[c]};
               });
    return bias ? sum + bias[at.channel] : sum;
  }
};

template <class T>
struct BackwardInput {
  Convolution conv;
  T const *dy, *w;
  T const* before;  ///< dx if the result is added to it; otherwise null

  __device__ double operator()(int64_t index) const {
    Position const at(conv.x, index);
    int64_t const group = conv.in_block == 0 ? 0 : at.channel / conv.in_block;
    int64_t const c = at.channel - group * conv.in_block, first = group * conv.out_block;
    double sum = before ? double{before[index]} : 0;
    each_window(conv.axes, at.row, at.column, [&](int64_t i, int64_t j, int64_t a, int64_t b) {
      for (int64_t o = first; o < first + conv.out_block; ++o)
        sum += double{dy[conv.y.at(at.image, i, j, o)]} * double{w[conv.w.at(o, a, b, c)]};
    });
    return sum;
  }
};

template <class T>
struct BackwardWeights {
  Convolution conv;
  T const *x, *dy;

  __device__ double operator()(int64_t index) const {
    Position const at(conv.w, index);  // image: output channel; row, column: position in the window
    int64_t const channel = conv.first_in(at.image) + at.channel;
    Axis const &h = conv.axes.h, &w = conv.axes.w;
    int64_t const top = at.row * h.dilation - h.padding;
    int64_t const left = at.column * w.dilation - w.padding;
    double sum = 0;
    for (int64_t n = 0; n < conv.y.images; ++n)
      for (int64_t i = 0, row = top; i < h.windows; ++i, row += h.stride)
        for (int64_t j = 0, column = left; j < w.windows; ++j, column += w.stride) {
          if (row < 0 || row >= h.pixels || column < 0 || column >= w.pixels) continue;
          sum += double{x[conv.x.at(n, row, column, channel)]} *
                 double{dy[conv.y.at(n, i, j, at.image)]};
        }
    return sum;
  }
};

template <class F, class T>
__global__ void each_element_kernel(F f, int64_t count, T* out) {
  for (int64_t i = first_of_grid(); i < count; i += step_of_grid()) out[i] = static_cast<T>(f(i));
}

/// out[i] := f(i), rounded.
template <class T, class F>
void each_element(StreamHandle stream, F const& f, Tensor& out) {
  if (out.count() == 0) return;
  launch(each_element_kernel<F, T>, grid_of(out.count()), stream, f, out.count(), out.data<T>());
}

}  // namespace

void CudaKernels::conv2d(Tensor const& x, Tensor const& w, Tensor const& bias, Window const& window,
                         int64_t groups, Tensor& y) {
  if (!use_loops(x, w, y)) return cudnn_->conv2d(x, w, bias, window, groups, y);
  visit_floating(x.dtype(), [&]<class T>() {
    Convolution const conv(x, w, y, window, groups);
    each_element<T>(
        stream_, Forward<T>{conv, x.data<T>(), w.data<T>(), data_or_null<Accumulator<T>>(bias)}, y);
  });
}

void CudaKernels::conv2d_backward_input(Tensor const& dy, Tensor const& w, Window const& window,
                                        int64_t groups, Store store, Tensor& dx) {
  if (!use_loops(dy, w, dx)) return cudnn_->conv2d_backward_input(dy, w, window, groups, store, dx);
  visit_floating(dx.dtype(), [&]<class T>() {
    Convolution const conv(dx, w, dy, window, groups);
    each_element<T>(stream_,
                    BackwardInput<T>{conv, dy.data<T>(), w.data<T>(),
                                     store == Store::add ? dx.data<T>() : nullptr},
                    dx);
  });
}

void CudaKernels::conv2d_backward_weights(Tensor const& x, Tensor const& dy, Window const& window,
                                          int64_t groups, Tensor& dw) {
  if (!use_loops(x, dy, dw)) return cudnn_->conv2d_backward_weights(x, dy, window, groups, dw);
  visit_floating(x.dtype(), [&]<class T>() {
    Convolution const conv(x, dw, dy, window, groups);
    each_element<Accumulator<T>>(stream_, BackwardWeights<T>{conv, x.data<T>(), dy.data<T>()}, dw);
  });
}

}  // namespace core::cuda
