#include "core/cuda/kernels.h"
#include "core/cuda/rows.cuh"
#include "core/math/accumulator.h"

namespace core::cuda {
namespace {

using math::Accumulator;

template <class T>
struct AddBias {
  using Channel = Accumulator<T>;
  Accumulator<T> const* bias;

  __device__ Channel channel(int64_t c, int64_t) const { return bias[c]; }
  __device__ std::array<T, 1> operator()(Channel const& offset, std::array<T, 1> const& y) const {
    return {T(Accumulator<T>(y[0]) + offset)};
  }
};

template <class T>
struct SumRows {
  using Channel = Accumulator<T>;
  using Total = Sums<1>;

  __device__ Channel channel(int64_t, int64_t) const { return 0; }
  __device__ std::array<T, 0> operator()(Channel& sum, std::array<T, 1> const& x) const {
    sum += x[0];
    return {};
  }
  __device__ Total total(Channel const& sum, int64_t) const { return {{sum}}; }
};

template <class Acc>
struct WriteSum {
  Acc* out;
  __device__ void operator()(Sums<1> const& sum, int64_t c) const {
    out[c] = static_cast<Acc>(sum.at[0]);
  }
};

}  // namespace

void CudaKernels::add_bias(Tensor const& bias, Tensor& y) {
  visit_floating(y.dtype(), [&]<class T>() {
    T* const out = y.data<T>();
    map_rows(stream_, y, AddBias<T>{bias.data<Accumulator<T>>()}, std::array<T const*, 1>{out},
             std::array{out});
  });
}

void CudaKernels::sum_rows(Tensor const& x, Tensor& out) {
  visit_floating(x.dtype(), [&]<class T>() {
    reduce_rows(stream_, x, SumRows<T>{}, std::array{x.data<T>()}, std::array<T*, 0>{},
                WriteSum<Accumulator<T>>{out.data<Accumulator<T>>()});
  });
}

}  // namespace core::cuda
