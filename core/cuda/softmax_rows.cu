#include "core/cuda/kernels.h"
#include "core/cuda/map.cuh"
#include "core/cuda/reduce.cuh"
#include "core/dispatch.h"
#include "core/math/softmax.h"

namespace core::cuda {
namespace {

using math::LossAndWeight;
using math::RowStatistics;

/// One block processes all rows of a batch, so that sums over rows have a fixed order.
constexpr unsigned block_threads = 256;
constexpr Grid one_block{dim3(1), block_threads};

struct AddLosses {
  __device__ LossAndWeight operator()(LossAndWeight const& a, LossAndWeight const& b) const {
    return {a.loss + b.loss, a.weight + b.weight};
  }
};

template <class Acc>
__global__ void softmax_begin_kernel(int64_t rows, Acc* stats) {
  constexpr Acc infinity = std::numeric_limits<Acc>::infinity();
  for (int64_t i = first_of_grid(); i < RowStatistics::count * rows; i += step_of_grid())
    stats[i] = i % RowStatistics::count == RowStatistics::max ? -infinity : Acc(0);
}

template <class Acc>
__global__ void softmax_factors_kernel(int64_t count, Acc const* rows, Acc const* reference,
                                       Acc* factors) {
  for (int64_t r = first_of_grid(); r < count; r += step_of_grid())
    factors[r] = math::RowGradient::factor(rows + math::RowGradient::count * r, reference[r]);
}

template <class Acc>
__global__ void softmax_merge_kernel(math::MergeShards<Acc> merge, double* sums) {
  LossAndWeight all{0, 0};
  for (int64_t r = threadIdx.x; r < merge.count; r += blockDim.x) all = AddLosses{}(all, merge(r));
  all = reduce_block(all, AddLosses{});
  if (threadIdx.x != 0) return;
  sums[0] += all.loss;
  sums[1] += all.weight;
}

template <class Acc>
__global__ void softmax_mean_kernel(double const* sums, int64_t count, Acc* rows, Acc* loss,
                                    double* factor) {
  math::MeanLoss const mean(sums);
  int64_t const first = first_of_grid();
  for (int64_t r = first; r < count; r += step_of_grid())
    mean.divide(rows + math::RowGradient::count * r);
  if (first != 0) return;
  *loss = static_cast<Acc>(mean.loss);
  *factor = rows != nullptr ? mean.finite() : mean.gradient_scale();
}

}  // namespace

void CudaKernels::softmax_begin(Tensor& stats) {
  int64_t const rows = stats.size(0);
  if (rows == 0) return;
  visit_wide(stats.dtype(), [&]<class Acc>() {
    launch(softmax_begin_kernel<Acc>, grid_of(RowStatistics::count * rows), stream_, rows,
           stats.data<Acc>());
  });
}

void CudaKernels::softmax_merge(math::LossRule const& rule, Tensor const& parts,
                                Tensor const& labels, Tensor& rows, Tensor& sums) {
  int64_t const count = labels.count();
  if (count == 0) return;
  visit_wide(parts.dtype(), [&]<class Acc>() {
    math::MergeShards<Acc> const merge{
        math::RowLoss<Acc>(rule), parts.data<Acc>(), parts.size(0), count,
        labels.data<int64_t>(),   rows.data<Acc>()};
    launch(softmax_merge_kernel<Acc>, one_block, stream_, merge, sums.data<double>());
  });
}

void CudaKernels::softmax_factors(Tensor const& rows, Tensor const& reference, Tensor& factors) {
  int64_t const count = rows.size(0);
  if (count == 0) return;
  visit_wide(rows.dtype(), [&]<class Acc>() {
    launch(softmax_factors_kernel<Acc>, grid_of(count), stream_, count, rows.data<Acc>(),
           reference.data<Acc>(), factors.data<Acc>());
  });
}

void CudaKernels::softmax_mean(Tensor const& sums, Tensor& rows, Tensor& loss, Tensor& factor) {
  int64_t const count = rows ? rows.size(0) : 0;
  visit_wide(loss.dtype(), [&]<class Acc>() {
    launch(softmax_mean_kernel<Acc>, one_block, stream_, sums.data<double>(), count,
           data_or_null<Acc>(rows), loss.data<Acc>(), factor.data<double>());
  });
}

}  // namespace core::cuda
