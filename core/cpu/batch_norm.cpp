#include "core/math/batch_norm.h"
#include <vector>
#include "core/cpu/kernels.h"
#include "core/cpu/rows.h"
#include "core/cpu/signs.h"
#include "core/dispatch.h"
#include "core/math/accumulator.h"

namespace core::cpu {
namespace {

using math::Accumulator;

/// Constants of every channel.
template <class Acc>
struct Channels {
  explicit Channels(Normalization const& norm)
      : inverse(static_cast<size_t>(norm.mean.count())),
        factor(inverse),
        mean(norm.mean.data<Acc>()),
        bias(norm.bias.data<Acc>()),
        slope(data_or_null<Acc>(norm.slope)) {
    for (size_t c = 0; c < inverse.size(); ++c) {
      inverse[c] =
          math::inverse_deviation(norm.variance.data<Acc>()[c], static_cast<Acc>(norm.epsilon));
      factor[c] = inverse[c] * norm.gain.data<Acc>()[c];
    }
  }

  std::vector<Acc> inverse, factor;  ///< 1 / deviation, gain / deviation
  Acc const *mean, *bias, *slope;    ///< slope: null without PReLU
};

/// Normalizes elements.
template <class Acc>
struct Normalise {
  Acc const *mean, *factor, *bias, *slope;

  explicit Normalise(Channels<Acc> const& of)
      : mean(of.mean), factor(of.factor.data()), bias(of.bias), slope(of.slope) {}

  Acc operator()(Acc x, int64_t c) const {
    return math::batch_norm(x, mean[c], factor[c], bias[c]);
  }

  /// Gradient with respect to z. flag: nonzero if the stored sign is positive.
  template <Gate gate>
  Acc gated(Acc x, Acc dy, int64_t c, uint8_t flag) const {
    if constexpr (gate == Gate::open) return dy;
    if constexpr (gate == Gate::signs) return flag ? dy : Acc(0);
    return math::gated<gate>((*this)(x, c), dy, gate == Gate::prelu ? slope[c] : Acc(0));
  }
};

/// y := act(z), for each kind of activation.
template <class T, class Acc>
void normalise(Normalise<Acc> const& z, Activation activation, Tensor const& x, Tensor& y) {
  auto const run = [&](auto act) {
    for_elements(rows(x), channels(x),
                 [=, in = x.data<T>(), out = y.data<T>()](int64_t i, int64_t c) {
                   out[i] = T(act(z(in[i], c), c));
                 });
  };
  switch (activation) {
    case Activation::none:
      return run([](Acc v, int64_t) { return v; });
    case Activation::relu:
      return run([](Acc v, int64_t) { return math::Relu{}(v); });
    case Activation::prelu:
      return run([s = z.slope](Acc v, int64_t c) { return math::prelu_slope(v, s[c]) * v; });
  }
}

/// y := z + residual, with ReLU if requested.
template <class T, class Acc>
void normalise_sum(Normalise<Acc> const& z, bool relu, Tensor const& x, Tensor const& residual,
                   Tensor& y) {
  with(relu, [&](auto rectified) {
    for_elements(rows(x), channels(x),
                 [=, in = x.data<T>(), shortcut = residual.data<T>(), out = y.data<T>()](
                     int64_t i, int64_t c) {
                   Acc const v = z(in[i], c) + shortcut[i];
                   out[i] = T(rectified ? math::Relu{}(v) : v);
                 });
  });
}

/// y := ReLU(z + residual), and its signs.
template <class T, class Acc>
void normalise_signed(Normalise<Acc> const& z, Tensor const& x, Tensor const& residual, Tensor& y,
                      SignRows const& signs) {
  int64_t const width = channels(x);
  for_rows(rows(x), width,
           [=, in = x.data<T>(), shortcut = residual.data<T>(), out = y.data<T>()](int64_t begin,
                                                                                   int64_t end) {
             for (int64_t row = begin; row < end; ++row)
               signs.store(row, [=](int64_t c) {
                 int64_t const i = row * width + c;
                 Acc const v = z(in[i], c) + shortcut[i];
                 out[i] = T(math::Relu{}(v));
                 return v > 0;
               });
           });
}

/// Adds the sums over rows [begin, end) of g to sums[0 .. width), those of g (x - mean) to the next
/// `width`, and with PReLU those of its slope's gradient to the next.
template <Gate gate, class T, class Acc>
void add_backward_sums(Normalise<Acc> const& z, T const* x, SignRows const& signs, T const* dy,
                       int64_t begin, int64_t end, Acc* sums) {
  int64_t const width = signs.width();
  for (int64_t row = begin; row < end; ++row) {
    for_channels<gate>(signs, row, [=](int64_t c, uint8_t flag) {
      Acc const in = x[row * width + c], grad = dy[row * width + c];
      Acc const g = z.template gated<gate>(in, grad, c, flag);
      sums[c] += g;
      sums[width + c] += g * (in - z.mean[c]);
      if constexpr (gate == Gate::prelu)
        sums[2 * width + c] += math::prelu_slope_gradient(z(in, c), grad);
    });
  }
}

/// Constants of every channel in backward: the means of g and of g xhat / deviation.
template <class Acc>
struct Means {
  Means(Channels<Acc> const& of, Tensor const& count, Tensor const& sums)
      : g(of.inverse), slope(of.inverse) {
    for (size_t c = 0; c < g.size(); ++c) {
      g[c] = sums.data<Acc>()[c] / count.data<Acc>()[c];
      slope[c] *= sums.data<Acc>()[g.size() + c] / count.data<Acc>()[c];
    }
  }
  std::vector<Acc> g, slope;
};

/// Computes dx and, with signs, dresidual.
template <Gate gate, bool adds, class T, class Acc>
void normalise_backward(Normalise<Acc> const& z, Means<Acc> const& means, Tensor const& x,
                        SignRows const& signs, Tensor const& dy, Tensor& dx, Tensor& dresidual) {
  int64_t const width = signs.width();
  for_rows(rows(x), width,
           [=, in = x.data<T>(), grad = dy.data<T>(), k = means.g.data(), s = means.slope.data(),
            to = dx.data<T>(), shortcut = data_or_null<T>(dresidual)](int64_t begin, int64_t end) {
             for (int64_t row = begin; row < end; ++row)
               for_channels<gate>(signs, row, [=](int64_t c, uint8_t flag) {
                 int64_t const i = row * width + c;
                 Acc const g = z.template gated<gate>(in[i], grad[i], c, flag);
                 Acc const slope =
                     math::batch_norm_backward<Acc>(g, in[i], z.mean[c], z.factor[c], k[c], s[c]);
                 to[i] = T(adds ? slope + to[i] : slope);
                 if constexpr (gate == Gate::signs) shortcut[i] = T(g);
               });
           });
}

}  // namespace

void CpuKernels::batch_norm(Normalization const& norm, Tensor const& x, Tensor const& residual,
                            Tensor& y, Tensor& signs) {
  visit_floating(x.dtype(), [&]<class T>() {
    Channels<Accumulator<T>> const constants(norm);
    Normalise const z(constants);
    if (signs)
      normalise_signed<T>(z, x, residual, y, SignRows(signs, channels(x)));
    else if (residual)
      normalise_sum<T>(z, norm.activation == Activation::relu, x, residual, y);
    else
      normalise<T>(z, norm.activation, x, y);
  });
}

void CpuKernels::batch_norm_backward_sums(Normalization const& norm, Tensor const& x,
                                          Tensor const& signs, Tensor const& dy, Tensor& sums) {
  visit_floating(x.dtype(), [&]<class T>() {
    using Acc = Accumulator<T>;
    Channels<Acc> const constants(norm);
    int64_t const width = channels(x);
    visit_gate(norm, signs, [&]<Gate gate>() {
      sum_over_rows(
          x.device(), rows(x), sums.count(),
          [z = Normalise(constants), in = x.data<T>(), flags = SignRows(signs, width),
           grad = dy.data<T>()](int64_t begin, int64_t end, Acc* tile) {
            add_backward_sums<gate>(z, in, flags, grad, begin, end, tile);
          },
          sums.data<Acc>());
    });
    for (int64_t c = 0; c < width; ++c)
      sums.data<Acc>()[width + c] *= constants.inverse[static_cast<size_t>(c)];
  });
}

void CpuKernels::batch_norm_backward(Normalization const& norm, Tensor const& x,
                                     Tensor const& signs, Tensor const& dy, Tensor const& count,
                                     Tensor const& sums, Store store, Tensor& dx,
                                     Tensor& dresidual) {
  visit_floating(x.dtype(), [&]<class T>() {
    Channels<Accumulator<T>> const constants(norm);
    Means const means(constants, count, sums);
    visit_gate(norm, signs, [&]<Gate gate>() {
      with(store == Store::add, [&]<class Adds>(Adds) {
        normalise_backward<gate, Adds::value, T>(Normalise(constants), means, x,
                                                 SignRows(signs, channels(x)), dy, dx, dresidual);
      });
    });
  });
}

}  // namespace core::cpu
