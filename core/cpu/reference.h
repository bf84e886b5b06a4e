#pragma once
#include <vector>
#include "core/kernels.h"

/// Convolutions and matrix products as plain loops with f64 sums. They are the specification of the
/// optimized versions, and the CPU device's implementation for f64 and for empty operands.
namespace core::cpu::reference {

/// Calls f(ix, iw, iy) for every product of a convolution, y[iy] += x[ix] w[iw], with flat indices
/// into x (N, H, W, Ch), w (Out, h, w, Ch / groups) and y (N, H', W', Out). Output channels form
/// `groups` equal blocks; block g uses block g of the input channels.
template <class F>
void each_product(Shape const& x, Shape const& w, Shape const& y, Window const& window,
                  int64_t groups, F f) {
  int64_t const block = groups == 0 ? 0 : w[0] / groups;
  for (int64_t n = 0; n < y[0]; ++n)
    for (int64_t i = 0; i < y[1]; ++i)
      for (int64_t j = 0; j < y[2]; ++j)
        for (int64_t a = 0; a < w[1]; ++a)
          for (int64_t b = 0; b < w[2]; ++b) {
            int64_t const row = i * window.stride.h - window.padding.h + a * window.dilation.h;
            int64_t const col = j * window.stride.w - window.padding.w + b * window.dilation.w;
            if (row < 0 || row >= x[1] || col < 0 || col >= x[2]) continue;
            for (int64_t o = 0; o < w[0]; ++o)
              for (int64_t c = 0; c < w[3]; ++c)
                f(((n * x[1] + row) * x[2] + col) * x[3] + o / block * w[3] + c,
                  ((o * w[1] + a) * w[2] + b) * w[3] + c, ((n * y[1] + i) * y[2] + j) * y[3] + o);
          }
}

/// Returns f64 zeros for the sums of a tensor's elements, before rounding.
inline std::vector<double> zeros(Tensor const& t) {
  return std::vector<double>(static_cast<size_t>(t.count()));
}

/// Returns the initial sums of a tensor's elements: zeros, or its values.
template <class T>
std::vector<double> initial(Store store, Tensor const& t) {
  if (store == Store::replace) return zeros(t);
  return {t.data<T>(), t.data<T>() + t.count()};
}

template <class T>
void round(std::vector<double> const& sums, Tensor& to) {
  T* const out = to.data<T>();
  for (size_t i = 0; i < sums.size(); ++i) out[i] = static_cast<T>(sums[i]);
}

/// T: element type; Acc: its accumulator type.
template <class T, class Acc>
void conv2d(Tensor const& x, Tensor const& w, Tensor const& bias, Window const& window,
            int64_t groups, Tensor& y) {
  T const *const in = x.data<T>(), *const weight = w.data<T>();
  auto sums = zeros(y);
  each_product(x.shape(), w.shape(), y.shape(), window, groups,
               [&](int64_t ix, int64_t iw, int64_t iy) {
                 sums[static_cast<size_t>(iy)] += double{in[ix]} * double{weight[iw]};
               });
  if (bias)
    for (size_t i = 0; i < sums.size(); ++i)
      sums[i] += bias.data<Acc>()[i % static_cast<size_t>(bias.count())];
  round<T>(sums, y);
}

template <class T>
void conv2d_backward_input(Tensor const& dy, Tensor const& w, Window const& window, int64_t groups,
                           Store store, Tensor& dx) {
  T const *const out = dy.data<T>(), *const weight = w.data<T>();
  auto sums = initial<T>(store, dx);
  each_product(dx.shape(), w.shape(), dy.shape(), window, groups,
               [&](int64_t ix, int64_t iw, int64_t iy) {
                 sums[static_cast<size_t>(ix)] += double{out[iy]} * double{weight[iw]};
               });
  round<T>(sums, dx);
}

template <class T, class Acc>
void conv2d_backward_weights(Tensor const& x, Tensor const& dy, Window const& window,
                             int64_t groups, Tensor& dw) {
  T const *const in = x.data<T>(), *const out = dy.data<T>();
  auto sums = zeros(dw);
  each_product(x.shape(), dw.shape(), dy.shape(), window, groups,
               [&](int64_t ix, int64_t iw, int64_t iy) {
                 sums[static_cast<size_t>(iw)] += double{in[ix]} * double{out[iy]};
               });
  round<Acc>(sums, dw);
}

/// c (m, n) := alpha op(a) op(b) + beta c, all f64; c is not read if beta is 0.
inline void matmul(Columns const& a, Transpose ta, Tensor const& b, Transpose tb, double alpha,
                   double beta, Tensor& c) {
  int64_t const m = c.size(0), n = c.size(1), k = ta == Transpose::no ? a.count : a.rows();
  int64_t const pitch = a.pitch();
  double const *const left = a.data<double>(), *const right = b.data<double>();
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t p = 0; p < k; ++p)
        sum += left[ta == Transpose::no ? i * pitch + p : p * pitch + i] *
               right[tb == Transpose::no ? p * n + j : j * k + p];
      double& out = c.data<double>()[i * n + j];
      out = alpha * sum + (beta == 0 ? 0 : beta * out);
    }
}

}  // namespace core::cpu::reference
