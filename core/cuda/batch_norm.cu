#include "core/cuda/kernels.h"
#include "core/cuda/rows.cuh"
#include "core/dispatch.h"
#include "core/math/accumulator.h"
#include "core/math/batch_norm.h"
#include "core/math/elementwise.h"

namespace core::cuda {
namespace {

using math::Accumulator;

/// Normalizes x and adds the residual, if there is one.
template <class T, bool residual, bool relu>
struct Normalise {
  using Acc = Accumulator<T>;
  struct Channel {
    Acc mean, factor, bias;
  };
  Acc const *mean, *variance, *gain, *bias;
  Acc epsilon;

  __device__ Channel channel(int64_t c, int64_t) const {
    return {mean[c], gain[c] * math::inverse_deviation(variance[c], epsilon), bias[c]};
  }
  __device__ std::array<T, 1> operator()(Channel const& c,
                                         std::array<T, 1 + residual> const& in) const {
    Acc v = math::batch_norm<Acc>(in[0], c.mean, c.factor, c.bias);
    if constexpr (residual) v += in[1];
    return {T(relu ? math::Relu{}(v) : v)};
  }
};

/// Gradient before the activation, from inputs x, dy and, with ReLU, its result y.
template <bool relu, class T>
__device__ T passed(std::array<T, 2 + relu> const& in) {
  if constexpr (relu)
    return math::ReluBackward{}(in[2], in[1]);
  else
    return in[1];
}

/// Sums of g and of g (x - mean).
template <class T, bool relu>
struct BackwardSums {
  using Acc = Accumulator<T>;
  struct Channel {
    Acc mean, g, gx;
  };
  using Total = Sums<2>;
  Acc const* mean;

  __device__ Channel channel(int64_t c, int64_t) const { return {mean[c], 0, 0}; }
  __device__ std::array<T, 0> operator()(Channel& c, std::array<T, 2 + relu> const& in) const {
    Acc const g = passed<relu, T>(in);
    c.g += g;
    c.gx += g * (Acc(in[0]) - c.mean);
    return {};
  }
  __device__ Total total(Channel const& c, int64_t) const { return {{c.g, c.gx}}; }
};

template <class Acc>
struct WriteBackwardSums {
  Acc const* variance;
  Acc epsilon;
  Acc* sums;
  int64_t width;
  __device__ void operator()(Sums<2> const& total, int64_t c) const {
    sums[c] = static_cast<Acc>(total.at[0]);
    sums[width + c] = static_cast<Acc>(total.at[1]) * math::inverse_deviation(variance[c], epsilon);
  }
};

/// Computes dx and, if requested, the gradient of the residual.
template <class T, bool relu, bool residual>
struct NormaliseBackward {
  using Acc = Accumulator<T>;
  struct Channel {
    Acc mean, factor, mean_g, slope;
  };
  Acc const *moments, *gain, *sums;
  Acc epsilon;
  int64_t width;

  __device__ Channel channel(int64_t c, int64_t) const {
    Acc const count = moments[c];
    Acc const inverse = math::inverse_deviation(moments[2 * width + c], epsilon);
    return {moments[width + c], inverse * gain[c], sums[c] / count,
            inverse * sums[width + c] / count};
  }
  __device__ std::array<T, 1 + residual> operator()(Channel const& c,
                                                    std::array<T, 2 + relu> const& in) const {
    T const g = passed<relu, T>(in);
    T const dx = T(math::batch_norm_backward<Acc>(g, in[0], c.mean, c.factor, c.mean_g, c.slope));
    if constexpr (residual)
      return {dx, g};
    else
      return {dx};
  }
};

}  // namespace

void CudaKernels::batch_norm(Tensor const& x, Tensor const& mean, Tensor const& variance,
                             double epsilon, Tensor const& gain, Tensor const& bias,
                             Tensor const& residual, bool relu, Tensor& y) {
  visit_floating(x.dtype(), [&]<class T>() {
    using Acc = Accumulator<T>;
    with(bool(residual), [&]<class Residual>(Residual) {
      with(relu, [&]<class Rectified>(Rectified) {
        map_rows(stream_, x,
                 Normalise<T, Residual::value, Rectified::value>{
                     mean.data<Acc>(), variance.data<Acc>(), gain.data<Acc>(), bias.data<Acc>(),
                     static_cast<Acc>(epsilon)},
                 append_if<Residual::value>(std::array{x.data<T>()}, data_or_null<T>(residual)),
                 std::array{y.data<T>()});
      });
    });
  });
}

void CudaKernels::batch_norm_backward_sums(Tensor const& x, Tensor const& y, Tensor const& dy,
                                           Tensor const& mean, Tensor const& variance,
                                           double epsilon, Tensor& sums) {
  visit_floating(x.dtype(), [&]<class T>() {
    using Acc = Accumulator<T>;
    with(bool(y), [&]<class Relu>(Relu) {
      reduce_rows(stream_, x, BackwardSums<T, Relu::value>{mean.data<Acc>()},
                  append_if<Relu::value>(std::array{x.data<T>(), dy.data<T>()}, data_or_null<T>(y)),
                  std::array<T*, 0>{},
                  WriteBackwardSums<Acc>{variance.data<Acc>(), static_cast<Acc>(epsilon),
                                         sums.data<Acc>(), channels(x)});
    });
  });
}

void CudaKernels::batch_norm_backward(Tensor const& x, Tensor const& y, Tensor const& dy,
                                      Tensor const& moments, double epsilon, Tensor const& gain,
                                      Tensor const& sums, Tensor& dx, Tensor& dresidual) {
  visit_floating(x.dtype(), [&]<class T>() {
    using Acc = Accumulator<T>;
    with(bool(y), [&]<class Relu>(Relu) {
      with(bool(dresidual), [&]<class Residual>(Residual) {
        map_rows(stream_, x,
                 NormaliseBackward<T, Relu::value, Residual::value>{
                     moments.data<Acc>(), gain.data<Acc>(), sums.data<Acc>(),
                     static_cast<Acc>(epsilon), channels(x)},
                 append_if<Relu::value>(std::array{x.data<T>(), dy.data<T>()}, data_or_null<T>(y)),
                 append_if<Residual::value>(std::array{dx.data<T>()}, data_or_null<T>(dresidual)));
      });
    });
  });
}

}  // namespace core::cuda
