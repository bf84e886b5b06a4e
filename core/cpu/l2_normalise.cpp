#include "core/cpu/kernels.h"
#include "core/cpu/rows.h"
#include "core/math/l2.h"
#include "core/math/wide.h"

namespace core::cpu {
namespace {

template <class T>
math::Wide<T> inner(T const* a, T const* b, int64_t n) {
  using W = math::Wide<T>;
  return simd_sum<W>(n, [=](int64_t i) { return W(a[i]) * W(b[i]); });
}

}  // namespace

void CpuKernels::l2_normalise(Tensor const& x, Tensor& y, Tensor& norm) {
  visit_floating(x.dtype(), [&]<class T>() {
    using W = math::Wide<T>;
    int64_t const n = channels(x);
    for_rows(norm.count(), n,
             [=, in = x.data<T>(), out = y.data<T>(), norms = norm.data<W>()](int64_t begin,
                                                                              int64_t end) {
               for (int64_t r = begin; r < end; ++r) {
                 T const* const row = in + r * n;
                 norms[r] = std::sqrt(inner(row, row, n));
                 W const divisor = math::l2_divisor(norms[r]);
                 simd(0, n, [=, to = out + r * n](int64_t i) { to[i] = T(row[i] / divisor); });
               }
             });
  });
}

void CpuKernels::l2_normalise_backward(Tensor const& y, Tensor const& norm, Tensor const& dy,
                                       Tensor& dx) {
  visit_floating(y.dtype(), [&]<class T>() {
    using W = math::Wide<T>;
    int64_t const n = channels(y);
    for_rows(norm.count(), n,
             [=, out = y.data<T>(), grad = dy.data<T>(), norms = norm.data<W>(), to = dx.data<T>()](
                 int64_t begin, int64_t end) {
               for (int64_t r = begin; r < end; ++r) {
                 T const *const row = out + r * n, *const slope = grad + r * n;
                 W const dot = inner(row, slope, n), divisor = math::l2_divisor(norms[r]);
                 simd(0, n, [=, result = to + r * n](int64_t i) {
                   result[i] = T(math::l2_backward<W>(row[i], slope[i], dot, divisor));
                 });
               }
             });
  });
}

}  // namespace core::cpu
