#include <algorithm>
#include "core/cpu/kernels.h"
#include "core/dispatch.h"
#include "core/math/softmax.h"

namespace core::cpu {

using math::RowGradient;
using math::RowStatistics;

void CpuKernels::softmax_begin(Tensor& stats) {
  visit_wide(stats.dtype(), [&]<class Acc>() {
    for (int64_t r = 0; r < stats.size(0); ++r) {
      Acc* const row = stats.data<Acc>() + RowStatistics::count * r;
      std::fill_n(row, RowStatistics::count, Acc(0));
      row[RowStatistics::max] = -std::numeric_limits<Acc>::infinity();
    }
  });
}

void CpuKernels::softmax_merge_tiles(Tensor const& tiles, Tensor& stats) {
  visit_wide(stats.dtype(), [&]<class Acc>() {
    int64_t const rows = stats.size(0);
    auto const* tile = reinterpret_cast<math::TileSum<Acc> const*>(tiles.data<Acc>());
    for (int64_t t = 0; t < tiles.size(0); ++t)
      for (int64_t r = 0; r < rows; ++r)
        math::merge_into(stats.data<Acc>() + RowStatistics::count * r, *tile++);
  });
}

void CpuKernels::softmax_factors(Tensor const& rows, Tensor const& reference, Tensor& factors) {
  visit_wide(rows.dtype(), [&]<class Acc>() {
    for (int64_t r = 0; r < rows.size(0); ++r)
      factors.data<Acc>()[r] =
          RowGradient::factor(rows.data<Acc>() + RowGradient::count * r, reference.data<Acc>()[r]);
  });
}

void CpuKernels::softmax_merge(math::LossRule const& rule, Tensor const& parts,
                               Tensor const& labels, Tensor& rows, Tensor& sums) {
  visit_wide(parts.dtype(), [&]<class Acc>() {
    math::MergeShards<Acc> const merge_row{
        math::RowLoss<Acc>(rule), parts.data<Acc>(),      parts.size(0),
        labels.count(),           labels.data<int64_t>(), rows.data<Acc>()};
    for (int64_t r = 0; r < labels.count(); ++r) {
      auto const [loss, weight] = merge_row(r);
      sums.data<double>()[0] += loss;
      sums.data<double>()[1] += weight;
    }
  });
}

void CpuKernels::softmax_mean(Tensor const& sums, Tensor& rows, Tensor& loss, Tensor& factor) {
  visit_wide(loss.dtype(), [&]<class Acc>() {
    math::MeanLoss const mean(sums.data<double>());
    *loss.data<Acc>() = static_cast<Acc>(mean.loss);
    *factor.data<double>() = rows ? mean.finite() : mean.gradient_scale();
    for (int64_t r = 0; rows && r < rows.size(0); ++r)
      mean.divide(rows.data<Acc>() + RowGradient::count * r);
  });
}

}  // namespace core::cpu
