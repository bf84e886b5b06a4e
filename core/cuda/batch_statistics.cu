#include "core/cuda/kernels.h"
#include "core/cuda/rows.cuh"
#include "core/dispatch.h"
#include "core/math/accumulator.h"
#include "core/math/batch_norm.h"

namespace core::cuda {
namespace {

using math::Accumulator;

/// Sums of differences from the thread's first element: see math::moments_of.
template <class T>
struct MomentsOfRows {
  using Channel = math::ShiftedSums<Accumulator<T>>;
  using Total = math::Moments<double>;
  T const* x;
  int64_t width;

  __device__ Channel channel(int64_t c, int64_t row) const {
    return {Accumulator<T>(x[row * width + c]), 0, 0};
  }
  __device__ std::array<T, 0> operator()(Channel& sums, std::array<T, 1> const& in) const {
    sums.add(in[0]);
    return {};
  }
  __device__ Total total(Channel const& sums, int64_t rows) const {
    return math::moments_of(sums, rows);
  }
};

template <class Acc>
struct WriteMoments {
  Acc* out;
  int64_t width;
  __device__ void operator()(math::Moments<double> const& total, int64_t c) const {
    out[c] = static_cast<Acc>(total.count);
    out[width + c] = static_cast<Acc>(total.mean);
    out[2 * width + c] = static_cast<Acc>(total.squares);
  }
};

template <class Acc>
__global__ void merge_channels_kernel(math::MergeChannel<Acc> merge, int64_t width) {
  int64_t const c = first_of_grid();
  if (c < width) merge(c);
}

}  // namespace

void CudaKernels::batch_statistics(Tensor const& x, Tensor& moments) {
  visit_floating(x.dtype(), [&]<class T>() {
    T const* const in = x.data<T>();
    int64_t const width = channels(x);
    reduce_rows(stream_, x, MomentsOfRows<T>{in, width}, std::array{in}, std::array<T*, 0>{},
                WriteMoments<Accumulator<T>>{moments.data<Accumulator<T>>(), width});
  });
}

void CudaKernels::merge_statistics(Tensor const& parts, double momentum, Tensor& merged,
                                   Tensor& running_mean, Tensor& running_variance) {
  int64_t const width = channels(parts);
  if (width == 0) return;
  visit_wide(parts.dtype(), [&]<class Acc>() {
    math::MergeChannel<Acc> const merge{
        parts.data<Acc>(),           parts.size(0),      width,
        static_cast<Acc>(momentum),  merged.data<Acc>(), running_mean.data<Acc>(),
        running_variance.data<Acc>()};
    auto const blocks = static_cast<unsigned>((width + map_threads - 1) / map_threads);
    launch(merge_channels_kernel<Acc>, Grid{dim3(blocks), map_threads}, stream_, merge, width);
  });
}

}  // namespace core::cuda
