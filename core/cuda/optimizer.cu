#include "core/cuda/kernels.h"
#include "core/cuda/map.cuh"
#include "core/dispatch.h"
#include "core/math/sgd.h"

namespace core::cuda {
namespace {

/// The arrays of a step; velocity and copy may be null.
template <class W>
struct SgdArrays {
  W const* g;
  W *w, *velocity;
  bf16* copy;

  SgdArrays from(int64_t i) const {
    return {g + i, w + i, velocity ? velocity + i : nullptr, copy ? copy + i : nullptr};
  }
};

template <int n, bool has_momentum, bool has_copy, class W>
__global__ void sgd_kernel(math::Sgd<W> rule, double const* rate, int64_t count,
                           SgdArrays<W> arrays) {
  rule.rate = static_cast<W>(*rate);
  for (int64_t i = first_of_grid(); i < count; i += step_of_grid()) {
    Pack<W, n> const slope = load<n>(arrays.g, i);
    Pack<W, n> weight = load<n>(static_cast<W const*>(arrays.w), i), speed;
    if constexpr (has_momentum) speed = load<n>(static_cast<W const*>(arrays.velocity), i);
#pragma unroll
    for (int j = 0; j < n; ++j) {
      if constexpr (has_momentum)
        rule(slope.at[j], weight.at[j], speed.at[j]);
      else
        rule(slope.at[j], weight.at[j]);
    }
    store<n>(weight, arrays.w, i);
    if constexpr (has_momentum) store<n>(speed, arrays.velocity, i);
    if constexpr (has_copy) {
      Pack<bf16, n> rounded;
#pragma unroll
      for (int j = 0; j < n; ++j) rounded.at[j] = bf16(static_cast<float>(weight.at[j]));
      store<n>(rounded, arrays.copy, i);
    }
  }
}

template <bool has_momentum, bool has_copy, class W>
void run_sgd(StreamHandle stream, math::Sgd<W> const& rule, double const* rate, int64_t count,
             SgdArrays<W> const& arrays) {
  constexpr int n = pack_size<W>;
  bool const aligned = packs<n>(arrays.g) && packs<n>(arrays.w) && packs<n>(arrays.velocity) &&
                       packs<n>(arrays.copy);
  int64_t const whole = aligned ? count / n : 0, rest = count - whole * n;
  if (whole > 0)
    launch(sgd_kernel<n, has_momentum, has_copy, W>, grid_of(whole), stream, rule, rate, whole,
           arrays);
  if (rest > 0)
    launch(sgd_kernel<1, has_momentum, has_copy, W>, grid_of(rest), stream, rule, rate, rest,
           arrays.from(whole * n));
}

}  // namespace

void CudaKernels::sgd(SgdStep const& step, Tensor const& g, Tensor& w, Tensor& velocity,
                      Tensor& copy) {
  visit_wide(w.dtype(), [&]<class W>() {
    // The rate is read when the step runs.
    math::Sgd<W> const rule{0, static_cast<W>(step.momentum), static_cast<W>(step.decay),
                            step.nesterov};
    SgdArrays<W> const arrays{g.data<W>(), w.data<W>(), data_or_null<W>(velocity),
                              data_or_null<bf16>(copy)};
    with(step.momentum != 0, [&](auto has_momentum) {
      with(bool(copy), [&](auto has_copy) {
        run_sgd<has_momentum, has_copy>(stream_, rule, step.rate.data<double>(), w.count(), arrays);
      });
    });
  });
}

}  // namespace core::cuda
