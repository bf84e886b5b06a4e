#include "core/cuda/kernels.h"
#include "core/cuda/tiles.cuh"
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

  /// True if all addresses allow packs of n.
  template <int n>
  bool packed() const {
    return packs<n>(g) && packs<n>(w) && packs<n>(first) && packs<n>(second) && packs<n>(copy);
  }
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

/// What a thread computes once for all its packs.
template <class R, class Acc, bool rounds>
struct Step {
  Acc factor;
  R rule;
  math::Rounding rounding;

  __device__ explicit Step(Numbers<Acc> const& numbers)
      : factor(numbers.gradient_scale ? static_cast<Acc>(*numbers.gradient_scale) : Acc(1)),
        rule(numbers.constants, numbers.step_scalars) {
    if constexpr (rounds) rounding = rounding_of(numbers);
  }
};

/// Whether storing a parameter rounds it.
template <class Acc, class T, class F, class S>
constexpr bool rounds =
    !(std::is_same_v<Acc, T> && std::is_same_v<Acc, F> && std::is_same_v<Acc, S>);

/// Updates pack i.
template <int n, class R, class Acc, class T, class F, class S>
__device__ void update_pack(Numbers<Acc> const& numbers,
                            Step<R, Acc, rounds<Acc, T, F, S>> const& step,
                            Arrays<Acc, T, F, S> const& arrays, int64_t i) {
  Pack<Acc, n> w = load_wide<n, Acc>(arrays.w, i), first, second;
  if constexpr (R::moments > 0) first = load_wide<n, Acc>(arrays.first, i);
  if constexpr (R::moments > 1) second = load_wide<n, Acc>(arrays.second, i);
  auto const g = slopes<n>(numbers, step.factor, load<n>(arrays.g, i), w, i * n);
#pragma unroll
  for (int j = 0; j < n; ++j) step.rule(g.at[j], w.at[j], first.at[j], second.at[j]);
  math::RoundingBits bits[n];
  if constexpr (rounds<Acc, T, F, S>) {
#pragma unroll
    for (int j = 0; j < n; ++j)
      bits[j] = step.rounding(numbers.first_element + static_cast<uint64_t>(i * n + j));
  }
  store_rounded<n>(w, arrays.w, i, [&](int j) { return bits[j].weight(); });
  if constexpr (R::moments > 0)
    store_rounded<n>(first, arrays.first, i, [&](int j) { return bits[j].first(); });
  if constexpr (R::moments > 1)
    store_rounded<n>(second, arrays.second, i, [&](int j) { return bits[j].second(); });
  if (arrays.copy != nullptr) store_copy<n>(w, arrays.copy, i);
}

/// Updates packs [begin, end).
template <int n, class R, class Acc, class T, class F, class S>
__global__ void update_kernel(Numbers<Acc> numbers, int64_t begin, int64_t end,
                              Arrays<Acc, T, F, S> arrays) {
  Step<R, Acc, rounds<Acc, T, F, S>> const step(numbers);
  if (step.factor == 0) return;
  for (int64_t i = begin + first_of_grid(); i < end; i += step_of_grid())
    update_pack<n>(numbers, step, arrays, i);
}

/// Parameters of one launch. Their table is an argument of the kernel, so it needs no memory on the
/// device; arguments may have 4 KiB.
template <class Acc>
struct UpdateList {
  static constexpr int most = 64;
  static constexpr int64_t block_elements = 4096;
  Arrays<Acc, Acc, Acc, Acc> arrays[most];
  int64_t counts[most];
  int64_t blocks[most + 1];  ///< number of blocks of all parameters before

  /// Index of the parameter that block `block` updates, of `size`.
  __device__ int parameter_of(int64_t block, int size) const {
    int first = 0;
    for (int end = size; end - first > 1;) {
      int const middle = (first + end) / 2;
      (blocks[middle] <= block ? first : end) = middle;
    }
    return first;
  }
};

/// Updates the first `size` parameters of a list: packs of n, then single elements.
template <int n, class R, class Acc>
__global__ void update_list_kernel(Numbers<Acc> numbers, UpdateList<Acc> list, int size) {
  Step<R, Acc, false> const step(numbers);
  if (step.factor == 0) return;
  int const index = list.parameter_of(blockIdx.x, size);
  int64_t const begin = (blockIdx.x - list.blocks[index]) * list.block_elements;
  int64_t const below = begin + list.block_elements, count = list.counts[index];
  int64_t const end = below < count ? below : count, whole = end / n;
  for (int64_t i = begin / n + threadIdx.x; i < whole; i += blockDim.x)
    update_pack<n>(numbers, step, list.arrays[index], i);
  for (int64_t i = whole * n + threadIdx.x; i < end; i += blockDim.x)
    update_pack<1>(numbers, step, list.arrays[index], i);
}

template <class R, class Acc, class T, class F, class S>
void run_update(StreamHandle stream, Numbers<Acc> const& numbers, int64_t count,
                Arrays<Acc, T, F, S> const& arrays) {
  constexpr int n = pack_size<Acc, T, F, S>;
  int64_t const whole = arrays.template packed<n>() ? count / n : 0, rest = count - whole * n;
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

template <class R, class Acc, class T, class F, class S>
Arrays<Acc, T, F, S> arrays_of(Tensor const& g, UpdateState& state) {
  return {g.data<Acc>(), state.w.data<T>(), R::moments > 0 ? state.first.data<F>() : nullptr,
          R::moments > 1 ? state.second.data<S>() : nullptr, data_or_null<bf16>(state.copy)};
}

template <class R, class Acc>
void update_by(StreamHandle stream, Numbers<Acc> const& numbers, Tensor const& g,
               UpdateState& state) {
  visit_kept<Acc, true>(state.w, [&]<class T>() {
    visit_kept<Acc, (R::moments > 0)>(state.first, [&]<class F>() {
      visit_kept<Acc, (R::moments > 1)>(state.second, [&]<class S>() {
        run_update<R>(stream, numbers, g.count(), arrays_of<R, Acc, T, F, S>(g, state));
      });
    });
  });
}

/// Updates up to UpdateList::most parameters.
template <class R, class Acc>
void run_list(StreamHandle stream, Numbers<Acc> const& numbers, ParameterUpdate* parameters,
              int size) {
  constexpr int n = pack_size<Acc>;
  UpdateList<Acc> list{};
  bool packed = true;
  for (int i = 0; i < size; ++i) {
    auto& [g, state] = parameters[i];
    list.arrays[i] = arrays_of<R, Acc, Acc, Acc, Acc>(g, state);
    list.counts[i] = g.count();
    list.blocks[i + 1] =
        list.blocks[i] + (g.count() + list.block_elements - 1) / list.block_elements;
    packed = packed && list.arrays[i].template packed<n>();
  }
  if (list.blocks[size] == 0) return;
  Grid const grid = grid_of_blocks(list.blocks[size], map_threads);
  packed ? launch(update_list_kernel<n, R, Acc>, grid, stream, numbers, list, size)
         : launch(update_list_kernel<1, R, Acc>, grid, stream, numbers, list, size);
}

template <class Acc>
Numbers<Acc> numbers_of(UpdateRule const& rule, Tensor const& trust, int64_t width,
                        int64_t first_row) {
  return {math::RuleConstants<Acc>(rule),
          rule.step_scalars.data<double>(),
          data_or_null<double>(rule.gradient_scale),
          data_or_null<Acc>(trust),
          width,
          rule.seed,
          static_cast<uint64_t>(first_row * width)};
}

}  // namespace

void CudaKernels::update(UpdateRule const& rule, int64_t first_row, Tensor const& trust,
                         Tensor const& g, UpdateState& state) {
  if (g.count() == 0) return;
  visit_wide(g.dtype(), [&]<class Acc>() {
    auto const numbers = numbers_of<Acc>(rule, trust, g.count() / g.size(0), first_row);
    math::visit_rule<Acc>(rule, [&]<class R>() { update_by<R>(stream_, numbers, g, state); });
  });
}

void CudaKernels::update_all(UpdateRule const& rule, std::vector<ParameterUpdate>& all) {
  if (all.empty()) return;
  visit_wide(all.front().g.dtype(), [&]<class Acc>() {
    auto const numbers = numbers_of<Acc>(rule, {}, 1, 0);
    math::visit_rule<Acc>(rule, [&]<class R>() {
      for (size_t begin = 0; begin < all.size(); begin += UpdateList<Acc>::most)
        run_list<R>(stream_, numbers, all.data() + begin,
                    static_cast<int>(std::min<size_t>(all.size() - begin, UpdateList<Acc>::most)));
    });
  });
}

}  // namespace core::cuda
