#include "core/cpu/kernels.h"
#include "core/cpu/rows.h"
#include "core/dispatch.h"
#include "core/math/accumulator.h"
#include "core/math/l2.h"

namespace core::cpu {
namespace {

template <class Acc, class A, class B>
Acc inner(A const* a, B const* b, int64_t n) {
  return simd_sum<Acc>(n, [=](int64_t i) { return Acc(a[i]) * Acc(b[i]); });
}

}  // namespace

void CpuKernels::row_products(Tensor const& x, Tensor const& y, Tensor& out) {
  visit_floating(x.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    int64_t const n = channels(x);
    for_rows(
        out.count(), n,
        [=, a = x.data<T>(), b = y.data<T>(), to = out.data<Acc>()](int64_t begin, int64_t end) {
          for (int64_t r = begin; r < end; ++r) to[r] = inner<Acc>(a + r * n, b + r * n, n);
        });
  });
}

void CpuKernels::l2_normalise(Tensor const& x, Tensor& y, Tensor& norm) {
  visit_rounded(x.dtype(), y.dtype(), [&]<class T, class Y>() {
    using Acc = math::Accumulator<T>;
    int64_t const n = channels(x);
    for_rows(norm.count(), n,
             [=, in = x.data<T>(), out = y.data<Y>(), norms = norm.data<Acc>()](int64_t begin,
                                                                                int64_t end) {
               for (int64_t r = begin; r < end; ++r) {
                 T const* const row = in + r * n;
                 norms[r] = std::sqrt(inner<Acc>(row, row, n));
                 Acc const divisor = math::l2_divisor(norms[r]);
                 simd(0, n, [=, to = out + r * n](int64_t i) { to[i] = Y(row[i] / divisor); });
               }
             });
  });
}

void CpuKernels::l2_normalise_backward(Tensor const& y, Tensor const& norm, Tensor const& dy,
                                       Tensor& dx) {
  visit_rounded(dy.dtype(), y.dtype(), [&]<class T, class Y>() {
    using Acc = math::Accumulator<T>;
    int64_t const n = channels(y);
    for_rows(norm.count(), n,
             [=, out = y.data<Y>(), grad = dy.data<T>(), norms = norm.data<Acc>(),
              to = dx.data<T>()](int64_t begin, int64_t end) {
               for (int64_t r = begin; r < end; ++r) {
                 Y const* const row = out + r * n;
                 T const* const slope = grad + r * n;
                 Acc const dot = inner<Acc>(row, slope, n), divisor = math::l2_divisor(norms[r]);
                 simd(0, n, [=, result = to + r * n](int64_t i) {
                   result[i] = T(math::l2_backward<Acc>(row[i], slope[i], dot, divisor));
                 });
               }
             });
  });
}

}  // namespace core::cpu
