#include "core/cpu/kernels.h"
#include "core/cpu/parallel.h"
#include "core/dispatch.h"
#include "core/math/rounding.h"
#include "core/math/update.h"

namespace core::cpu {
namespace {

/// Elements processed at a time: few enough that their copies in the accumulator type stay in the
/// L1 cache.
constexpr int64_t piece = 512;

/// A state tensor in Acc or, if Acc is f32, optionally in bf16; may be absent.
template <class Acc>
class Kept {
 public:
  explicit Kept(Tensor& t) {
    if (std::is_same_v<Acc, float> && t && t.dtype() == Dtype::bf16)
      narrow_ = t.data<bf16>();
    else
      wide_ = data_or_null<Acc>(t);
  }

  bool rounds() const { return narrow_ != nullptr; }

  /// Returns `n` elements from `begin` on as Acc: in place, or converted into `room`.
  Acc* open(int64_t begin, int64_t n, Acc* room) const {
    if (wide_) return wide_ + begin;
    if (narrow_) simd(0, n, [=, from = narrow_ + begin](int64_t i) { room[i] = from[i]; });
    return room;
  }
  /// Writes back the values returned by `open`, stochastically rounded; bits(i) are the random bits
  /// of element i.
  template <class Bits>
  void close(int64_t begin, int64_t n, Acc const* values, Bits const& bits) const {
    if (!narrow_) return;
    simd(0, n, [=, to = narrow_ + begin](int64_t i) {
      to[i] = math::round_randomly(static_cast<float>(values[i]), bits(i));
    });
  }

 private:
  Acc* wide_ = nullptr;
  bf16* narrow_ = nullptr;
};

/// Applies an optimizer step to pieces of a parameter.
template <class R, class Acc>
struct Stepper {
  R rule;
  math::Rounding rounding;
  Acc factor, decay;
  uint64_t first_element;  ///< index of element 0 in the whole parameter
  Acc const* g;
  Kept<Acc> w, first, second;
  bf16* copy;

  void operator()(int64_t begin, int64_t n, Acc trust) const {
    Acc rooms[3][piece];
    Acc *const weight = w.open(begin, n, rooms[0]), *const one = first.open(begin, n, rooms[1]),
               *const two = second.open(begin, n, rooms[2]);
    simd(0, n, [=, rule = rule, factor = factor, decay = decay, grad = g + begin](int64_t i) {
      rule(trust * (factor * grad[i] + decay * weight[i]), weight[i], one[i], two[i]);
    });
    if (w.rounds() || first.rounds() || second.rounds()) round(begin, n, weight, one, two);
    if (copy) {
      simd(0, n,
           [=, to = copy + begin](int64_t i) { to[i] = bf16(static_cast<float>(weight[i])); });
    }
  }

  void round(int64_t begin, int64_t n, Acc const* weight, Acc const* one, Acc const* two) const {
    math::RoundingBits bits[piece];
    auto const start = first_element + static_cast<uint64_t>(begin);
    simd(0, n, [=, &bits, rounding = rounding](int64_t i) {
      bits[i] = rounding(start + static_cast<uint64_t>(i));
    });
    w.close(begin, n, weight, [&](int64_t i) { return bits[i].weight(); });
    first.close(begin, n, one, [&](int64_t i) { return bits[i].first(); });
    second.close(begin, n, two, [&](int64_t i) { return bits[i].second(); });
  }
};

template <class R, class Acc>
Stepper<R, Acc> stepper(UpdateRule const& rule, double factor, uint64_t first_element,
                        Tensor const& g, UpdateState& state) {
  math::RuleConstants<Acc> const constants(rule);
  double const* const step_scalars = rule.step_scalars.data<double>();
  return {R(constants, step_scalars),
          math::Rounding(rule.seed, step_scalars[3]),
          static_cast<Acc>(factor),
          constants.decay,
          first_element,
          g.data<Acc>(),
          Kept<Acc>(state.w),
          Kept<Acc>(state.first),
          Kept<Acc>(state.second),
          data_or_null<bf16>(state.copy)};
}

constexpr int64_t block = 1 << 16;  // elements that a thread processes at a time

/// Calls f(begin, n, trust) for the pieces of [begin, end) in rows of `width`; with trust ratios, a
/// piece lies within one row.
template <class Acc, class F>
void for_pieces(int64_t begin, int64_t end, int64_t width, Acc const* trust, F const& f) {
  for (int64_t at = begin, stop; at < end; at = stop) {
    stop = std::min(end, at + piece);
    if (trust) stop = std::min(stop, (at / width + 1) * width);
    f(at, stop - at, trust ? trust[at / width] : Acc(1));
  }
}

/// A block of the elements of parameter `index`.
struct Block {
  size_t index;
  int64_t begin, end;
};

std::vector<Block> blocks_of(std::vector<ParameterUpdate> const& all) {
  std::vector<Block> blocks;
  for (size_t i = 0; i < all.size(); ++i)
    for (int64_t begin = 0, count = all[i].g.count(); begin < count; begin += block)
      blocks.push_back({i, begin, std::min(count, begin + block)});
  return blocks;
}

double factor_of(UpdateRule const& rule) {
  return rule.gradient_scale ? *rule.gradient_scale.data<double>() : 1;
}

}  // namespace

void CpuKernels::update(UpdateRule const& rule, int64_t first_row, Tensor const& trust,
                        Tensor const& g, UpdateState& state) {
  double const factor = factor_of(rule);
  if (factor == 0 || g.count() == 0) return;
  int64_t const width = g.count() / g.size(0);
  visit_wide(g.dtype(), [&]<class Acc>() {
    math::visit_rule<Acc>(rule, [&]<class R>() {
      auto const step =
          stepper<R, Acc>(rule, factor, static_cast<uint64_t>(first_row * width), g, state);
      for_blocks(g.count(), block, [&](int64_t begin, int64_t end) {
        for_pieces(begin, end, width, data_or_null<Acc>(trust), step);
      });
    });
  });
}

void CpuKernels::update_all(UpdateRule const& rule, std::vector<ParameterUpdate>& all) {
  double const factor = factor_of(rule);
  if (factor == 0 || all.empty()) return;
  std::vector<Block> const blocks = blocks_of(all);
  visit_wide(all.front().g.dtype(), [&]<class Acc>() {
    math::visit_rule<Acc>(rule, [&]<class R>() {
      std::vector<Stepper<R, Acc>> steps;
      for (auto& [g, state] : all) steps.push_back(stepper<R, Acc>(rule, factor, 0, g, state));
      for_blocks(static_cast<int64_t>(blocks.size()), 1, [&](int64_t number, int64_t) {
        auto const& [index, begin, end] = blocks[static_cast<size_t>(number)];
        for_pieces<Acc>(begin, end, 0, nullptr, steps[index]);
      });
    });
  });
}

}  // namespace core::cpu
