#include "core/cuda/kernels.h"
#include "core/cuda/map.cuh"
#include "core/dispatch.h"
#include "core/math/rounding.h"
#include "core/math/update.h"

namespace core::cuda {
namespace {

/// Arrays of an optimizer step. T, F and S: Acc or bf16. Arrays that the optimizer does not use are
/// null.
template <class Acc, class T, class F, class S>
struct Arrays {
  Acc const* g;
  T* w;
  F* first;
  S* second;
  bf16* copy;  ///< may be null
};

/// Scalars of an optimizer step. Those on the device are read when the kernel runs.
template <class Acc>
struct Numbers {
  math::RuleConstants<Acc> constants;
  double const *step_scalars, *gradient_scale;  ///< gradient_scale may be null
  Acc const* trust;                             ///< may be null
  int64_t width;                                ///< elements of a row
  uint64_t seed, first_element;
};

/// Returns trust (factor g + decay w) for n elements from `at` on.
template <int n, class Acc>
__device__ Pack<Acc, n> slopes(Numbers<Acc> const& numbers, Acc factor, Pack<Acc, n> g,
                               Pack<Acc, n> const& w, int64_t at) {
#pragma unroll
  for (int j = 0; j < n; ++j) g.at[j] = factor * g.at[j] + numbers.constants.decay * w.at[j];
  if (numbers.trust == nullptr) return g;
  int64_t row = at / numbers.width, column = at - row * numbers.width;
#pragma unroll
  for (int j = 0; j < n; ++j) {
    g.at[j] *= numbers.trust[row];
    if (++column == numbers.width) column = 0, ++row;
  }
  return g;
}

/// Loads state, which the next step reads again, but nothing before.
template <int n, class Acc, class T>
__device__ Pack<Acc, n> load_wide(T const* data, int64_t pack) {
  auto const values = load_streamed<n>(data, pack);
  Pack<Acc, n> wide;
#pragma unroll
  for (int j = 0; j < n; ++j) wide.at[j] = static_cast<Acc>(values.at[j]);
  return wide;
}

/// Stores values, stochastically rounded if T is bf16; bits(j) are the random bits of element j.
template <int n, class Acc, class T, class Bits>
__device__ void store_rounded(Pack<Acc, n> const& values, T* data, int64_t pack, Bits const& bits) {
  if constexpr (std::is_same_v<Acc, T>) {
    store_streamed<n>(values, data, pack);
  } else {
    Pack<T, n> rounded;
#pragma unroll
    for (int j = 0; j < n; ++j) rounded.at[j] = math::round_randomly(values.at[j], bits(j));
    store_streamed<n>(rounded, data, pack);
  }
}

template <int n, class Acc>
__device__ void store_copy(Pack<Acc, n> const& values, bf16* copy, int64_t pack) {
  Pack<bf16, n> rounded;
#pragma unroll
  for (int j = 0; j < n; ++j) rounded.at[j] = bf16(static_cast<float>(values.at[j]));
  store<n>(rounded, copy, pack);
}

/// Returns the random bits of a step. Each block computes their key only once, because Philox is as
/// much work as the rest of a thread's.
template <class Acc>
__device__ math::Rounding rounding_of(Numbers<Acc> const& numbers) {
  __shared__ math::Rounding rounding;
  if (threadIdx.x == 0) rounding = {numbers.seed, numbers.step_scalars[3]};
  __syncthreads();
  return rounding;
}

/// Updates packs [begin, end).
template <int n, class R, class Acc, class T, class F, class S>
__global__ void update_kernel(Numbers<Acc> numbers, int64_t begin, int64_t end,
                              Arrays<Acc, T, F, S> arrays) {
  Acc const factor = numbers.gradient_scale ? static_cast<Acc>(*numbers.gradient_scale) : Acc(1);
  if (factor == 0) return;
  R const rule(numbers.constants, numbers.step_scalars);
  constexpr bool rounds =
      !(std::is_same_v<Acc, T> && std::is_same_v<Acc, F> && std::is_same_v<Acc, S>);
  math::Rounding rounding;
  if constexpr (rounds) rounding = rounding_of(numbers);
  for (int64_t i = begin + first_of_grid(); i < end; i += step_of_grid()) {
    Pack<Acc, n> w = load_wide<n, Acc>(arrays.w, i), first, second;
    if constexpr (R::moments > 0) first = load_wide<n, Acc>(arrays.first, i);
    if constexpr (R::moments > 1) second = load_wide<n, Acc>(arrays.second, i);
    auto const g = slopes<n>(numbers, factor, load<n>(arrays.g, i), w, i * n);
#pragma unroll
    for (int j = 0; j < n; ++j) rule(g.at[j], w.at[j], first.at[j], second.at[j]);
    math::RoundingBits bits[n];
    if constexpr (rounds) {
#pragma unroll
      for (int j = 0; j < n; ++j)
        bits[j] = rounding(numbers.first_element + static_cast<uint64_t>(i * n + j));
    }
    store_rounded<n>(w, arrays.w, i, [&](int j) { return bits[j].weight(); });
    if constexpr (R::moments > 0)
      store_rounded<n>(first, arrays.first, i, [&](int j) { return bits[j].first(); });
    if constexpr (R::moments > 1)
      store_rounded<n>(second, arrays.second, i, [&](int j) { return bits[j].second(); });
    if (arrays.copy != nullptr) store_copy<n>(w, arrays.copy, i);
  }
}

template <class R, class Acc, class T, class F, class S>
void run_update(StreamHandle stream, Numbers<Acc> const& numbers, int64_t count,
                Arrays<Acc, T, F, S> const& arrays) {
  constexpr int n = pack_size<Acc, T, F, S>;
  bool const aligned = packs<n>(arrays.g) && packs<n>(arrays.w) && packs<n>(arrays.first) &&
                       packs<n>(arrays.second) && packs<n>(arrays.copy);
  int64_t const whole = aligned ? count / n : 0, rest = count - whole * n;
  if (whole > 0)
    launch(update_kernel<n, R, Acc, T, F, S>, grid_of(whole), stream, numbers, int64_t{0}, whole,
           arrays);
  if (rest > 0)
    launch(update_kernel<1, R, Acc, T, F, S>, grid_of(rest), stream, numbers, whole * n, count,
           arrays);
}

/// Calls f.operator()<T>() with the element type of a state tensor: Acc or, if Acc is f32, possibly
/// bf16. Acc if the tensor is not `kept`.
template <class Acc, bool kept, class F>
void visit_kept(Tensor const& t, F const& f) {
  if constexpr (kept && std::is_same_v<Acc, float>) {
    if (t.dtype() == Dtype::bf16) return f.template operator()<bf16>();
  }
  f.template operator()<Acc>();
}

template <class R, class Acc>
void update_by(StreamHandle stream, Numbers<Acc> const& numbers, Tensor const& g,
               UpdateState& state) {
  visit_kept<Acc, true>(state.w, [&]<class T>() {
    visit_kept<Acc, (R::moments > 0)>(state.first, [&]<class F>() {
      visit_kept<Acc, (R::moments > 1)>(state.second, [&]<class S>() {
        run_update<R>(stream, numbers, g.count(),
                      Arrays<Acc, T, F, S>{g.data<Acc>(), state.w.data<T>(),
                                           R::moments > 0 ? state.first.data<F>() : nullptr,
                                           R::moments > 1 ? state.second.data<S>() : nullptr,
                                           data_or_null<bf16>(state.copy)});
      });
    });
  });
}

}  // namespace

void CudaKernels::update(UpdateRule const& rule, int64_t first_row, Tensor const& trust,
                         Tensor const& g, UpdateState& state) {
  if (g.count() == 0) return;
  int64_t const width = g.count() / g.size(0);
  visit_wide(g.dtype(), [&]<class Acc>() {
    Numbers<Acc> const numbers{math::RuleConstants<Acc>(rule),
                               rule.step_scalars.data<double>(),
                               data_or_null<double>(rule.gradient_scale),
                               data_or_null<Acc>(trust),
                               width,
                               rule.seed,
                               static_cast<uint64_t>(first_row * width)};
    math::visit_rule<Acc>(rule, [&]<class R>() { update_by<R>(stream_, numbers, g, state); });
  });
}

}  // namespace core::cuda
