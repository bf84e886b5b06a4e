#include "core/cuda/kernels.h"
#include "core/cuda/rows.cuh"
#include "core/dispatch.h"
#include "core/math/accumulator.h"
#include "core/math/batch_norm.h"

namespace core::cuda {
namespace {

using math::Accumulator;

/// Normalization of one channel.
template <class Acc>
struct Affine {
  Acc mean, factor, bias, slope;
  __device__ Acc operator()(Acc x) const { return math::batch_norm(x, mean, factor, bias); }
};

/// Normalization of every channel.
template <class Acc>
struct Parameters {
  Acc const *mean, *variance, *gain, *bias, *slope;
  Acc epsilon;

  explicit Parameters(Normalization const& norm)
      : mean(norm.mean.data<Acc>()),
        variance(norm.variance.data<Acc>()),
        gain(norm.gain.data<Acc>()),
        bias(norm.bias.data<Acc>()),
        slope(data_or_null<Acc>(norm.slope)),
        epsilon(static_cast<Acc>(norm.epsilon)) {}

  __device__ Acc inverse(int64_t c) const { return math::inverse_deviation(variance[c], epsilon); }
  /// Also loads what only some kernels use; the compiler removes loads without use.
  template <Activation activation>
  __device__ Affine<Acc> affine(int64_t c) const {
    return {mean[c], gain[c] * inverse(c), bias[c],
            activation == Activation::prelu ? slope[c] : Acc(0)};
  }
};

constexpr Activation activation_of(Gate gate) {
  return gate == Gate::prelu ? Activation::prelu : Activation::relu;
}

/// Normalizes x, adds the residual, if there is one, and applies the activation.
template <class T, bool residual, Activation activation>
struct Normalise {
  using Acc = Accumulator<T>;
  using Channel = Affine<Acc>;
  Parameters<Acc> parameters;

  __device__ Channel channel(int64_t c, int64_t) const {
    return parameters.template affine<activation>(c);
  }
  __device__ std::array<T, 1> operator()(Channel const& z,
                                         std::array<T, 1 + residual> const& in) const {
    Acc v = z(in[0]);
    if constexpr (residual) v += in[1];
    if constexpr (activation == Activation::relu) v = math::Relu{}(v);
    if constexpr (activation == Activation::prelu) v *= math::prelu_slope(v, z.slope);
    return {T(v)};
  }
};

/// Gradient with respect to z from the inputs x, dy and, with Gate::signs, the sign.
template <Gate gate, class Acc, class T>
__device__ Acc passed(Affine<Acc> const& z, std::array<T, 2 + (gate == Gate::signs)> const& in) {
  if constexpr (gate == Gate::open) return in[1];
  if constexpr (gate == Gate::signs) return math::gated<gate, Acc>(in[2], in[1], 0);
  return math::gated<gate, Acc>(z(in[0]), in[1], z.slope);
}

/// Sums of g, of g (x - mean) and, with PReLU, of its slope's gradient.
template <class T, Gate gate>
struct BackwardSums {
  using Acc = Accumulator<T>;
  static constexpr int count = gate == Gate::prelu ? 3 : 2;
  struct Channel {
    Affine<Acc> z;
    Acc g, gx, slope;
  };
  using Total = Sums<count>;
  Parameters<Acc> parameters;

  __device__ Channel channel(int64_t c, int64_t) const {
    return {parameters.template affine<activation_of(gate)>(c), 0, 0, 0};
  }
  __device__ std::array<T, 0> operator()(Channel& c,
                                         std::array<T, 2 + (gate == Gate::signs)> const& in) const {
    Acc const g = passed<gate>(c.z, in);
    c.g += g;
    c.gx += g * (Acc(in[0]) - c.z.mean);
    if constexpr (gate == Gate::prelu)
      c.slope += math::prelu_slope_gradient<Acc>(c.z(in[0]), in[1]);
    return {};
  }
  __device__ Total total(Channel const& c, int64_t) const {
    if constexpr (gate == Gate::prelu)
      return {{c.g, c.gx, c.slope}};
    else
      return {{c.g, c.gx}};
  }
};

template <class Acc, int count>
struct WriteBackwardSums {
  Parameters<Acc> parameters;
  Acc* sums;
  int64_t width;
  __device__ void operator()(Sums<count> const& total, int64_t c) const {
    for (int i = 0; i < count; ++i) sums[i * width + c] = static_cast<Acc>(total.at[i]);
    sums[width + c] *= parameters.inverse(c);
  }
};

/// Computes dx and, with signs, the gradient of the residual. `adds`: to dx, the last array.
template <class T, Gate gate, bool adds>
struct NormaliseBackward {
  using Acc = Accumulator<T>;
  static constexpr bool has_signs = gate == Gate::signs;
  struct Channel {
    Affine<Acc> z;
    Acc mean_g, slope_g;
  };
  Parameters<Acc> parameters;
  Acc const *count, *sums;
  int64_t width;

  __device__ Channel channel(int64_t c, int64_t) const {
    return {parameters.template affine<activation_of(gate)>(c), sums[c] / count[c],
            parameters.inverse(c) * sums[width + c] / count[c]};
  }
  __device__ std::array<T, 1 + has_signs> operator()(
      Channel const& c, std::array<T, 2 + adds + has_signs> const& in) const {
    std::array<T, 2 + has_signs> used{in[0], in[1]};
    if constexpr (has_signs) used[2] = in.back();
    Acc const g = passed<gate>(c.z, used);
    Acc dx = math::batch_norm_backward<Acc>(g, in[0], c.z.mean, c.z.factor, c.mean_g, c.slope_g);
    if constexpr (adds) dx += in[2];
    if constexpr (has_signs)
      return {T(dx), T(g)};
    else
      return {T(dx)};
  }
};

/// Calls f(signs) with the signs that a backward pass reads.
template <Gate gate>
auto read_signs(Tensor const& signs) {
  if constexpr (gate == Gate::signs)
    return ReadSigns{signs.data<uint8_t>()};
  else
    return NoSigns{};
}

template <class T, bool residual, Activation activation, class S = NoSigns>
void normalise(StreamHandle stream, Normalization const& norm, Tensor const& x,
               Tensor const& shortcut, Tensor& y, S const& signs = {}) {
  map_rows(stream, x, Normalise<T, residual, activation>{Parameters<Accumulator<T>>(norm)},
           append_if<residual>(std::array{x.data<T>()}, data_or_null<T>(shortcut)),
           std::array{y.data<T>()}, signs);
}

}  // namespace

void CudaKernels::batch_norm(Normalization const& norm, Tensor const& x, Tensor const& residual,
                             Tensor& y, Tensor& signs) {
  visit_floating(x.dtype(), [&]<class T>() {
    constexpr auto none = Activation::none, relu = Activation::relu, prelu = Activation::prelu;
    bool const rectified = norm.activation == relu;
    if (signs)
      normalise<T, true, relu>(stream_, norm, x, residual, y, StoreSigns{signs.data<uint8_t>()});
    else if (norm.activation == prelu)
      normalise<T, false, prelu>(stream_, norm, x, residual, y);
    else
      with(bool(residual), [&]<class Residual>(Residual) {
        rectified ? normalise<T, Residual::value, relu>(stream_, norm, x, residual, y)
                  : normalise<T, Residual::value, none>(stream_, norm, x, residual, y);
      });
  });
}

void CudaKernels::batch_norm_backward_sums(Normalization const& norm, Tensor const& x,
                                           Tensor const& signs, Tensor const& dy, Tensor& sums) {
  visit_floating(x.dtype(), [&]<class T>() {
    using Acc = Accumulator<T>;
    Parameters<Acc> const parameters(norm);
    visit_gate(norm, signs, [&]<Gate gate>() {
      using Pass = BackwardSums<T, gate>;
      reduce_rows(stream_, x, Pass{parameters}, std::array{x.data<T>(), dy.data<T>()},
                  std::array<T*, 0>{},
                  WriteBackwardSums<Acc, Pass::count>{parameters, sums.data<Acc>(), channels(x)},
                  read_signs<gate>(signs));
    });
  });
}

void CudaKernels::batch_norm_backward(Normalization const& norm, Tensor const& x,
                                      Tensor const& signs, Tensor const& dy, Tensor const& count,
                                      Tensor const& sums, Store store, Tensor& dx,
                                      Tensor& dresidual) {
  visit_floating(x.dtype(), [&]<class T>() {
    using Acc = Accumulator<T>;
    visit_gate(norm, signs, [&]<Gate gate>() {
      with(store == Store::add, [&]<class Adds>(Adds) {
        T const* const before = dx.data<T>();
        map_rows(
            stream_, x,
            NormaliseBackward<T, gate, Adds::value>{Parameters<Acc>(norm), count.data<Acc>(),
                                                    sums.data<Acc>(), channels(x)},
            append_if<Adds::value>(std::array{x.data<T>(), dy.data<T>()}, before),
            append_if<gate == Gate::signs>(std::array{dx.data<T>()}, data_or_null<T>(dresidual)),
            read_signs<gate>(signs));
      });
    });
  });
}

}  // namespace core::cuda
