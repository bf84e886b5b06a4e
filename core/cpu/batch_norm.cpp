#include "core/math/batch_norm.h"
#include <vector>
#include "core/cpu/kernels.h"
#include "core/cpu/rows.h"
#include "core/dispatch.h"
#include "core/math/accumulator.h"
#include "core/math/elementwise.h"

namespace core::cpu {
namespace {

using math::Accumulator;

template <class Acc>
std::vector<Acc> inverse_deviations(Acc const* variance, int64_t width, double epsilon) {
  std::vector<Acc> inverse(static_cast<size_t>(width));
  for (size_t c = 0; c < inverse.size(); ++c)
    inverse[c] = math::inverse_deviation(variance[c], static_cast<Acc>(epsilon));
  return inverse;
}

/// Gradient before the activation; `y` is null if there is no ReLU.
template <bool relu, class T>
T passed(T const* y, T const* dy, int64_t i) {
  if constexpr (relu) return math::ReluBackward{}(y[i], dy[i]);
  return dy[i];
}

/// Adds the sums over rows [begin, end) of g to sums[0 .. width), and those of g (x - mean) to
/// sums[width .. 2 width).
template <bool relu, class T, class Acc>
void add_backward_sums(T const* x, T const* y, T const* dy, int64_t begin, int64_t end,
                       int64_t width, Acc const* mean, Acc* sums) {
  for (int64_t at = begin * width; at < end * width; at += width) {
    simd(0, width, [=](int64_t c) {
      Acc const g = passed<relu>(y, dy, at + c);
      sums[c] += g;
      sums[width + c] += g * (x[at + c] - mean[c]);
    });
  }
}

}  // namespace

void CpuKernels::batch_norm(Tensor const& x, Tensor const& mean, Tensor const& variance,
                            double epsilon, Tensor const& gain, Tensor const& bias,
                            Tensor const& residual, bool relu, Tensor& y) {
  visit_floating(x.dtype(), [&]<class T>() {
    using Acc = Accumulator<T>;
    int64_t const width = channels(x);
    auto factors = inverse_deviations(variance.data<Acc>(), width, epsilon);
    for (int64_t c = 0; c < width; ++c) factors[static_cast<size_t>(c)] *= gain.data<Acc>()[c];
    auto const value = [in = x.data<T>(), m = mean.data<Acc>(), f = factors.data(),
                        b = bias.data<Acc>()](int64_t i, int64_t c) {
      return math::batch_norm<Acc>(in[i], m[c], f[c], b[c]);
    };
    auto const run = [&, out = y.data<T>()](auto sum) {
      with(relu, [&](auto rectified) {
        for_elements(rows(x), width, [=](int64_t i, int64_t c) {
          Acc const v = sum(i, c);
          out[i] = T(rectified ? math::Relu{}(v) : v);
        });
      });
    };
    if (!residual) return run(value);
    run([=, shortcut = residual.data<T>()](int64_t i, int64_t c) {
      return value(i, c) + shortcut[i];
    });
  });
}

void CpuKernels::batch_norm_backward_sums(Tensor const& x, Tensor const& y, Tensor const& dy,
                                          Tensor const& mean, Tensor const& variance,
                                          double epsilon, Tensor& sums) {
  visit_floating(x.dtype(), [&]<class T>() {
    using Acc = Accumulator<T>;
    int64_t const width = channels(x);
    T const *const in = x.data<T>(), *const out = data_or_null<T>(y), *const grad = dy.data<T>();
    Acc const* const m = mean.data<Acc>();
    with(bool(y), [&](auto relu) {
      sum_over_rows(
          x.device(), rows(x), 2 * width,
          [=](int64_t begin, int64_t end, Acc* tile) {
            add_backward_sums<relu>(in, out, grad, begin, end, width, m, tile);
          },
          sums.data<Acc>());
    });
    auto const inverse = inverse_deviations(variance.data<Acc>(), width, epsilon);
    for (int64_t c = 0; c < width; ++c)
      sums.data<Acc>()[width + c] *= inverse[static_cast<size_t>(c)];
  });
}

void CpuKernels::batch_norm_backward(Tensor const& x, Tensor const& y, Tensor const& dy,
                                     Tensor const& moments, double epsilon, Tensor const& gain,
                                     Tensor const& sums, Tensor& dx, Tensor& dresidual) {
  visit_floating(x.dtype(), [&]<class T>() {
    using Acc = Accumulator<T>;
    int64_t const width = channels(x);
    Acc const *const count = moments.data<Acc>(), *const mean = count + width;
    auto const inverse = inverse_deviations(mean + width, width, epsilon);
    std::vector<Acc> factor(inverse), mean_g(inverse), slope(inverse);
    for (size_t c = 0; c < inverse.size(); ++c) {
      factor[c] *= gain.data<Acc>()[c];
      mean_g[c] = sums.data<Acc>()[c] / count[c];
      slope[c] *= sums.data<Acc>()[inverse.size() + c] / count[c];
    }
    with(bool(y), [&](auto relu) {
      with(bool(dresidual), [&](auto has_residual) {
        for_elements(rows(x), width,
                     [=, in = x.data<T>(), out = data_or_null<T>(y), grad = dy.data<T>(),
                      f = factor.data(), k = mean_g.data(), s = slope.data(), to = dx.data<T>(),
                      shortcut = data_or_null<T>(dresidual)](int64_t i, int64_t c) {
                       Acc const g = passed<relu>(out, grad, i);
                       to[i] =
                           T(math::batch_norm_backward<Acc>(g, in[i], mean[c], f[c], k[c], s[c]));
                       if constexpr (has_residual) shortcut[i] = T(g);
                     });
      });
    });
  });
}

}  // namespace core::cpu
