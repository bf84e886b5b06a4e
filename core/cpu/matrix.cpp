#include "core/cpu/kernels.h"
#include "core/cpu/onednn.h"
#include "core/cpu/reference.h"
#include "core/cpu/rows.h"
#include "core/math/accumulator.h"

namespace core::cpu {

using math::Accumulator;

CpuKernels::CpuKernels() : onednn_(std::make_unique<OneDnn>()) {}
CpuKernels::~CpuKernels() = default;

void CpuKernels::matmul(Columns const& a, Transpose ta, Tensor const& b, Transpose tb, double alpha,
                        double beta, Tensor& c) {
  if (c.count() == 0) return;
  if (a.empty()) return beta == 0 ? fill(0, c) : scale(beta, c);
  if (a.dtype() == Dtype::f64)
    reference::matmul(a, ta, b, tb, alpha, beta, c);
  else
    onednn_->matmul(a, ta, b, tb, alpha, beta, c);
}

void CpuKernels::add_bias(Tensor const& bias, Tensor& y) {
  visit_floating(y.dtype(), [&]<class T>() {
    for_elements(y.size(0), y.size(1),
                 [out = y.data<T>(), offset = bias.data<Accumulator<T>>()](int64_t i, int64_t c) {
                   out[i] = static_cast<T>(static_cast<Accumulator<T>>(out[i]) + offset[c]);
                 });
  });
}

void CpuKernels::sum_rows(Tensor const& x, Tensor& out) {
  int64_t const n = out.count();
  visit_floating(x.dtype(), [&]<class T>() {
    auto const add_tile = [in = x.data<T>(), n](int64_t begin, int64_t end, Accumulator<T>* sums) {
      for (T const* row = in + begin * n; row != in + end * n; row += n)
        simd(0, n, [=](int64_t c) { sums[c] += static_cast<Accumulator<T>>(row[c]); });
    };
    sum_over_rows(x.device(), rows(x), n, add_tile, out.data<Accumulator<T>>());
  });
}

}  // namespace core::cpu
