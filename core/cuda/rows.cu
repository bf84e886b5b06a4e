#include "core/cuda/kernels.h"
#include "core/cuda/rows.cuh"
#include "core/math/accumulator.h"
#include "core/math/elementwise.h"

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
struct Prelu {
  using Channel = Accumulator<T>;
  Accumulator<T> const* slope;

  __device__ Channel channel(int64_t c, int64_t) const { return slope[c]; }
  __device__ std::array<T, 1> operator()(Channel const& s, std::array<T, 1> const& in) const {
    Accumulator<T> const x = in[0];
    return {T(math::prelu_slope(x, s) * x)};
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

/// Computes dx and sums dslope.
template <class T>
struct PreluBackward {
  struct Channel {
    Accumulator<T> slope, sum;
  };
  using Total = Sums<1>;
  Accumulator<T> const* slope;

  __device__ Channel channel(int64_t c, int64_t) const { return {slope[c], 0}; }
  __device__ std::array<T, 1> operator()(Channel& c, std::array<T, 2> const& in) const {
    Accumulator<T> const x = in[0], dy = in[1];
    c.sum += math::prelu_slope_gradient(x, dy);
    return {T(math::prelu_slope(x, c.slope) * dy)};
  }
  __device__ Total total(Channel const& c, int64_t) const { return {{c.sum}}; }
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

void CudaKernels::prelu(Tensor const& x, Tensor const& slope, Tensor& y) {
  visit_floating(x.dtype(), [&]<class T>() {
    map_rows(stream_, x, Prelu<T>{slope.data<Accumulator<T>>()}, std::array{x.data<T>()},
             std::array{y.data<T>()});
  });
}

void CudaKernels::prelu_backward(Tensor const& x, Tensor const& slope, Tensor const& dy, Tensor& dx,
                                 Tensor& dslope) {
  visit_floating(x.dtype(), [&]<class T>() {
    reduce_rows(stream_, x, PreluBackward<T>{slope.data<Accumulator<T>>()},
                std::array{x.data<T>(), dy.data<T>()}, std::array{dx.data<T>()},
                WriteSum<Accumulator<T>>{dslope.data<Accumulator<T>>()});
  });
}

}  // namespace core::cuda
