#include "core/cuda/kernels.h"
#include "core/cuda/map.cuh"
#include "core/cuda/reduce.cuh"
#include "core/dispatch.h"
#include "core/math/batch_norm.h"
#include "core/math/margin.h"

namespace core::cuda {
namespace {

using Moments = math::Moments<double>;

/// One block processes all rows of a batch, so that sums over rows have a fixed order.
constexpr Grid one_block{dim3(1), map_threads};

struct MergeMoments {
  __device__ Moments operator()(Moments const& a, Moments const& b) const {
    return math::merge(a, b);
  }
};

template <class Acc>
__global__ void adaptive_margins_kernel(math::AdaptiveMargin<Acc> margin, double share,
                                        int64_t count, Acc const* norms, Acc* moments,
                                        Acc* margins) {
  Acc const mean = moments[0], stddev = moments[1];
  Moments all{0, 0, 0};
  for (int64_t r = threadIdx.x; r < count; r += blockDim.x)
    all = math::merge(all, Moments{1, margin.clipped(norms[r]), 0});
  all = reduce_block(all, MergeMoments{});
  auto const freedom = static_cast<double>(count - 1);
  margin.mean = math::moved(mean, share, all.mean);
  margin.stddev = math::moved(stddev, share, std::sqrt(all.squares / freedom));
  for (int64_t r = threadIdx.x; r < count; r += blockDim.x) margin(norms[r], margins + 3 * r);
  if (threadIdx.x != 0) return;
  moments[0] = margin.mean;
  moments[1] = margin.stddev;
}

/// Sum and number of the target products of rows that count.
struct ProductSum {
  double sum, rows;
};

struct AddProducts {
  __device__ ProductSum operator()(ProductSum const& a, ProductSum const& b) const {
    return {a.sum + b.sum, a.rows + b.rows};
  }
};

template <class Acc>
__global__ void curriculum_kernel(Acc m, double share, int64_t count, int64_t const* labels,
                                  Acc const* products, Acc* hardness, Acc* thresholds) {
  ProductSum all{0, 0};
  for (int64_t r = threadIdx.x; r < count; r += blockDim.x) {
    thresholds[r] = math::hard_threshold(products[r], m);
    if (labels[r] >= 0) all = AddProducts{}(all, {products[r], 1});
  }
  all = reduce_block(all, AddProducts{});
  if (threadIdx.x == 0) *hardness = math::moved(*hardness, share, all.sum / all.rows);
}

}  // namespace

void CudaKernels::adaptive_margins(double m, double h, double share, Tensor const& norms,
                                   Tensor& moments, Tensor& margins) {
  if (norms.count() == 0) return;
  visit_wide(norms.dtype(), [&]<class Acc>() {
    math::AdaptiveMargin<Acc> const margin{static_cast<Acc>(m), static_cast<Acc>(h), 0, 0};
    launch(adaptive_margins_kernel<Acc>, one_block, stream_, margin, share, norms.count(),
           norms.data<Acc>(), moments.data<Acc>(), margins.data<Acc>());
  });
}

void CudaKernels::curricularface_update(double m, double share, Tensor const& labels,
                                        Tensor const& products, Tensor& hardness,
                                        Tensor& thresholds) {
  visit_wide(products.dtype(), [&]<class Acc>() {
    launch(curriculum_kernel<Acc>, one_block, stream_, static_cast<Acc>(m), share, labels.count(),
           labels.data<int64_t>(), products.data<Acc>(), hardness.data<Acc>(),
           thresholds.data<Acc>());
  });
}

}  // namespace core::cuda
