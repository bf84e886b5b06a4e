#include "core/math/softmax.h"
#include "core/cpu/kernels.h"
#include "core/cpu/rows.h"
#include "core/logit_rule.h"
#include "core/math/accumulator.h"

namespace core::cpu {
namespace {

using math::Row;
using math::SoftmaxSum;
using math::Stats;

/// One row of a chunk's products, as logits of classes that are not the target.
template <class W, class Others>
struct LogitRow {
  W const* z;
  W const* bias;  ///< or null
  Others others;
  int64_t n, target;  ///< a place in the row, or none of it

  bool has_target() const { return 0 <= target && target < n; }
  template <bool biased>
  W logit(int64_t c) const {
    if constexpr (biased) return others.logit(z[c]) + bias[c];
    return others.logit(z[c]);
  }
  /// Calls f(logits, max, begin, count) for pieces of the row, with -inf in place of the target's:
  /// they stay in the nearest cache between passes over them, and keep f32 sums accurate.
  template <class F>
  void each_tile(F const& f) const {
    constexpr int64_t tile = 1024;
    W logits[tile];
    for (int64_t begin = 0; begin < n; begin += tile) {
      int64_t const count = std::min(tile, n - begin);
      W max = write(begin, count, logits);
      if (begin <= target && target < begin + count) {
        logits[target - begin] = -std::numeric_limits<W>::infinity();
        max = simd_max<W>(count, [&](int64_t i) { return logits[i]; });
      }
      f(logits, max, begin, count);
    }
  }

 private:
  /// Gives their maximum.
  W write(int64_t begin, int64_t count, W* logits) const {
    W max = 0;
    with(bias != nullptr, [&](auto biased) {
      max = simd_max<W>(count, [=, row = *this](int64_t i) {
        return logits[i] = row.template logit<decltype(biased)::value>(begin + i);
      });
    });
    return max;
  }
};

/// Calls work(r, row) for the rows of a chunk, on all threads.
template <class W, class F>
void for_logit_rows(LogitRule const& rule, ClassChunk const& chunk, Tensor const& labels,
                    Tensor const& z, F const& work) {
  with_others<W>(rule, [&](auto const& others) {
    int64_t const n = channels(z);
    for_rows(z.size(0), n, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        work(r, LogitRow<W, decltype(others.at(r))>{z.data<W>() + r * n,
                                                    data_or_null<W>(chunk.bias), others.at(r), n,
                                                    labels.data<int64_t>()[r] - chunk.first});
    });
  });
}

/// The sum of class weight times logit.
template <class W, class Logits>
W logits_sum(Logits const& row, W const* weights) {
  W sum = 0;
  row.each_tile([&](W const* logits, W, int64_t begin, int64_t count) {
    auto const add = [&](int64_t from, int64_t to) {
      sum += simd_sum<W>(to - from, [=, logits = logits + from](int64_t i) {
        return (weights ? weights[begin + from + i] : W(1)) * logits[i];
      });
    };
    int64_t const target = row.target - begin;
    bool const here = 0 <= target && target < count;
    add(0, here ? target : count);
    if (here) add(target + 1, count);
  });
  return sum;
}

/// What a row's statistics have of its target, if that is here, and the sum of its logits. Gives
/// the target's logit as a sum of one.
template <class W, class Logits>
SoftmaxSum<W> add_target(Logits const& row, TargetRule<W> const& rule, int64_t r, W* stats) {
  if (rule.sum_logits) stats[Stats::logits] += logits_sum(row, rule.weights);
  if (!row.has_target()) return math::no_classes<W>;
  return rule(r, row.target, row.z[row.target], stats);
}

template <class W, class Logits>
SoftmaxSum<W> others_sum(Logits const& row) {
  auto all = math::no_classes<W>;
  row.each_tile([&](W const* logits, W max, int64_t, int64_t count) {
    W const ref = math::reference(max);
    W const sum = simd_sum<W>(count, [=](int64_t i) { return math::exp(logits[i] - ref); });
    all = math::merge(all, {max, sum});
  });
  return all;
}

template <class W, class Logits>
W others_max(Logits const& row) {
  W all = -std::numeric_limits<W>::infinity();
  row.each_tile([&](W const*, W max, int64_t, int64_t) { all = std::max(all, max); });
  return all;
}

/// e := exp(logit - ref) dz/dp of the others; gives the sum of exp(logit - ref).
template <class W, class T, class Logits>
W write_exponentials(Logits const& row, W ref, T* e) {
  W sum = 0;
  row.each_tile([&](W const* logits, W, int64_t begin, int64_t count) {
    sum +=
        simd_sum<W>(count, [=, e = e + begin, others = row.others, z = row.z + begin](int64_t i) {
          W const x = math::exp(logits[i] - ref);
          e[i] = T(x * others.slope(z[i]));
          return x;
        });
  });
  return sum;
}

/// Merges a row into its statistics, with its exponentials; gives what they are measured from.
template <class W, class T, class Logits>
W exponentials_row(Logits const& row, SoftmaxSum<W> const& target, W* stats, T* e) {
  W const max = std::max({stats[Stats::max], target.max, others_max<W>(row)});
  W const ref = math::reference(max);
  stats[Stats::sum] = stats[Stats::sum] * math::rescale(stats[Stats::max], ref) +
                      target.sum * math::rescale(target.max, ref) + write_exponentials(row, ref, e);
  stats[Stats::max] = max;
  return ref;
}

template <class W, class T, class Logits>
void gradient_row(Logits const& row, W const* factors, W const* weights, T* g) {
  with(row.bias != nullptr, [&](auto biased) {
    with(weights != nullptr, [&](auto weighted) {
      simd(0, row.n,
           [=, lse = factors[Row::lse], gradient = math::OtherGradient<W>(factors)](int64_t c) {
             W const x = math::exp(row.template logit<decltype(biased)::value>(c) - lse);
             g[c] = T(gradient(x, row.others.slope(row.z[c]), weighted ? weights[c] : W(1)));
           });
    });
  });
  if (row.has_target()) g[row.target] = T(factors[Row::target]);
}

/// Exponentials measured from ref, times slopes, become gradients; `scale` is the slope of all
/// classes where there is smoothing.
template <class W, class T>
void stored_row(W const* factors, W ref, W scale, W const* weights, int64_t n, int64_t target,
                T* e) {
  W const share = factors[Row::softmax] * math::exp(ref - factors[Row::lse]);
  W const uniform = factors[Row::uniform] * scale;
  with(uniform != 0, [&](auto smooth) {
    simd(0, n, [=](int64_t c) {
      W g = share * W(e[c]);
      if constexpr (smooth) g -= uniform * (weights ? weights[c] : W(1));
      e[c] = T(g);
    });
  });
  if (0 <= target && target < n) e[target] = T(factors[Row::target]);
}

}  // namespace

void CpuKernels::softmax_statistics(LogitRule const& rule, ClassChunk const& chunk,
                                    Tensor const& labels, Tensor const& z, Tensor& stats) {
  visit_wide(z.dtype(), [&]<class W>() {
    TargetRule<W> const target_rule(rule, chunk);
    for_logit_rows<W>(rule, chunk, labels, z, [&](int64_t r, auto const& row) {
      W* const out = stats.data<W>() + Stats::count * r;
      auto const target = add_target(row, target_rule, r, out);
      auto const all =
          math::merge(math::merge({out[Stats::max], out[Stats::sum]}, target), others_sum<W>(row));
      out[Stats::max] = all.max;
      out[Stats::sum] = all.sum;
    });
  });
}

void CpuKernels::softmax_exponentials(LogitRule const& rule, ClassChunk const& chunk,
                                      Tensor const& labels, Tensor const& z, Tensor& stats,
                                      Tensor& e, Tensor& reference, Tensor& rescale) {
  visit_floating(e.dtype(), [&]<class T>() {
    using W = math::Wide<T>;
    TargetRule<W> const target_rule(rule, chunk);
    for_logit_rows<W>(rule, chunk, labels, z, [&](int64_t r, auto const& row) {
      W* const out = stats.data<W>() + Stats::count * r;
      W const before = out[Stats::max];
      auto const target = add_target(row, target_rule, r, out);
      W const ref = exponentials_row(row, target, out, e.data<T>() + r * row.n);
      reference.data<W>()[r] = ref;
      rescale.data<W>()[r] = math::rescale(before, ref);
    });
  });
}

void CpuKernels::softmax_gradient(LogitRule const& rule, ClassChunk const& chunk,
                                  Tensor const& labels, Tensor const& z, Tensor const& rows,
                                  Tensor& g) {
  visit_floating(g.dtype(), [&]<class T>() {
    using W = math::Wide<T>;
    for_logit_rows<W>(rule, chunk, labels, z, [&](int64_t r, auto const& row) {
      W const* const factors = rows.data<W>() + Row::count * r;
      T* const out = g.data<T>() + r * row.n;
      if (Row::counts(factors))
        gradient_row(row, factors, data_or_null<W>(chunk.weights), out);
      else
        std::fill_n(out, row.n, T(W(0)));
    });
  });
}

void CpuKernels::softmax_gradient_stored(LogitRule const& rule, ClassChunk const& chunk,
                                         Tensor const& labels, Tensor const& reference,
                                         Tensor const& rows, Tensor& e) {
  visit_floating(e.dtype(), [&]<class T>() {
    using W = math::Wide<T>;
    int64_t const n = channels(e);
    for_rows(e.size(0), n, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        W const* const factors = rows.data<W>() + Row::count * r;
        T* const out = e.data<T>() + r * n;
        if (Row::counts(factors))
          stored_row(factors, reference.data<W>()[r], static_cast<W>(rule.scale),
                     data_or_null<W>(chunk.weights), n, labels.data<int64_t>()[r] - chunk.first,
                     out);
        else
          std::fill_n(out, n, T(W(0)));
      }
    });
  });
}

}  // namespace core::cpu
