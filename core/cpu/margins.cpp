#include "core/cpu/kernels.h"
#include "core/dispatch.h"
#include "core/math/margin.h"

namespace core::cpu {
namespace {

struct Moments {
  double mean, stddev;
};

/// Returns mean and standard deviation (divisor count - 1) of the clipped norms; the deviation of a
/// single norm is NaN.
template <class Acc>
Moments moments_of(Acc const* norms, int64_t count) {
  using math::AdaptiveMargin;
  double sum = 0, squares = 0;
  for (int64_t r = 0; r < count; ++r) sum += AdaptiveMargin<Acc>::clipped(norms[r]);
  double const mean = sum / static_cast<double>(count);
  for (int64_t r = 0; r < count; ++r) {
    double const gap = AdaptiveMargin<Acc>::clipped(norms[r]) - mean;
    squares += gap * gap;
  }
  return {mean, std::sqrt(squares / static_cast<double>(count - 1))};
}

}  // namespace

void CpuKernels::adaptive_margins(double m, double h, double share, Tensor const& norms,
                                  Tensor& moments, Tensor& margins) {
  int64_t const count = norms.count();
  if (count == 0) return;
  visit_wide(norms.dtype(), [&]<class Acc>() {
    Acc const* const norm = norms.data<Acc>();
    Acc* const running = moments.data<Acc>();
    auto const batch = moments_of(norm, count);
    running[0] = math::moved(running[0], share, batch.mean);
    running[1] = math::moved(running[1], share, batch.stddev);
    math::AdaptiveMargin<Acc> const margin{static_cast<Acc>(m), static_cast<Acc>(h), running[0],
                                           running[1]};
    for (int64_t r = 0; r < count; ++r) margin(norm[r], margins.data<Acc>() + 3 * r);
  });
}

void CpuKernels::curricularface_update(double m, double share, Tensor const& labels,
                                       Tensor const& products, Tensor& hardness,
                                       Tensor& thresholds) {
  visit_wide(products.dtype(), [&]<class Acc>() {
    double sum = 0, rows = 0;
    for (int64_t r = 0; r < labels.count(); ++r) {
      Acc const product = products.data<Acc>()[r];
      thresholds.data<Acc>()[r] = math::hard_threshold(product, static_cast<Acc>(m));
      if (labels.data<int64_t>()[r] < 0) continue;
      sum += product;
      ++rows;
    }
    Acc& t = *hardness.data<Acc>();
    t = math::moved(t, share, sum / rows);
  });
}

}  // namespace core::cpu
