#include "core/math/softmax.h"
#include "core/cpu/kernels.h"
#include "core/cpu/rows.h"
#include "core/logit_rule.h"
#include "core/math/accumulator.h"

namespace core::cpu {
namespace {

using math::RowGradient;
using math::RowStatistics;
using math::SoftmaxSum;

/// One row of a chunk's products, converted to logits of non-target classes.
template <class Acc, class Others>
struct LogitRow {
  Acc const* z;
  Acc const* bias;  ///< or null
  Others others;
  int64_t n, target;  ///< index of the target in the row; outside [0, n) if it is not in this chunk

  bool has_target() const { return 0 <= target && target < n; }
  template <bool biased>
  Acc logit(int64_t c) const {
    if constexpr (biased) return others.logit(z[c]) + bias[c];
    return others.logit(z[c]);
  }
  /// Calls f(logits, max, begin, count) for tiles of the row, with -inf in place of the target's
  /// logit. A tile stays in the L1 cache between passes over it, and short sums keep f32 accurate.
  template <class F>
  void each_tile(F const& f) const {
    constexpr int64_t tile = 1024;
    Acc logits[tile];
    for (int64_t begin = 0; begin < n; begin += tile) {
      int64_t const count = std::min(tile, n - begin);
      Acc max = write(begin, count, logits);
      if (begin <= target && target < begin + count) {
        logits[target - begin] = -std::numeric_limits<Acc>::infinity();
        max = simd_max<Acc>(count, [&](int64_t i) { return logits[i]; });
      }
      f(logits, max, begin, count);
    }
  }

 private:
  /// Writes the logits of a tile and returns their maximum.
  Acc write(int64_t begin, int64_t count, Acc* logits) const {
    Acc max = 0;
    with(bias != nullptr, [&](auto biased) {
      max = simd_max<Acc>(count, [=, row = *this](int64_t i) {
        return logits[i] = row.template logit<decltype(biased)::value>(begin + i);
      });
    });
    return max;
  }
};

/// Calls work(r, row) for the rows of a chunk, on all threads.
template <class Acc, class F>
void for_logit_rows(LogitRule const& rule, ClassChunk const& chunk, Tensor const& labels,
                    Tensor const& z, F const& work) {
  with_others<Acc>(rule, [&](auto const& others) {
    int64_t const n = channels(z);
    for_rows(z.size(0), n, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        work(r, LogitRow<Acc, decltype(others.at(r))>{z.data<Acc>() + r * n,
                                                      data_or_null<Acc>(chunk.bias), others.at(r),
                                                      n, labels.data<int64_t>()[r] - chunk.first});
    });
  });
}

/// Returns the sum of class weight times logit over non-target classes.
template <class Acc, class Logits>
Acc logits_sum(Logits const& row, Acc const* weights) {
  Acc sum = 0;
  row.each_tile([&](Acc const* logits, Acc, int64_t begin, int64_t count) {
    auto const add = [&](int64_t from, int64_t to) {
      sum += simd_sum<Acc>(to - from, [=, logits = logits + from](int64_t i) {
        return (weights ? weights[begin + from + i] : Acc(1)) * logits[i];
      });
    };
    int64_t const target = row.target - begin;
    bool const here = 0 <= target && target < count;
    add(0, here ? target : count);
    if (here) add(target + 1, count);
  });
  return sum;
}

/// Adds the target to a row's statistics if it is in this chunk, and the weighted sum of logits if
/// requested. Returns the target's logit as a softmax sum of one term.
template <class Acc, class Logits>
SoftmaxSum<Acc> add_target(Logits const& row, TargetRule<Acc> const& rule, int64_t r, Acc* stats) {
  if (rule.sum_logits) stats[RowStatistics::logits] += logits_sum(row, rule.weights);
  if (!row.has_target()) return math::no_classes<Acc>;
  return rule(r, row.target, row.z[row.target], stats);
}

template <class Acc, class Logits>
SoftmaxSum<Acc> others_sum(Logits const& row) {
  auto all = math::no_classes<Acc>;
  row.each_tile([&](Acc const* logits, Acc max, int64_t, int64_t count) {
    Acc const ref = math::reference(max);
    Acc const sum = simd_sum<Acc>(count, [=](int64_t i) { return math::exp(logits[i] - ref); });
    all = math::merge(all, {max, sum});
  });
  return all;
}

template <class Acc, class Logits>
Acc others_max(Logits const& row) {
  Acc all = -std::numeric_limits<Acc>::infinity();
  row.each_tile([&](Acc const*, Acc max, int64_t, int64_t) { all = std::max(all, max); });
  return all;
}

/// e := exp(logit - ref) dz/dp for non-target classes; returns the sum of exp(logit - ref).
template <class Acc, class T, class Logits>
Acc write_exponentials(Logits const& row, Acc ref, T* e) {
  Acc sum = 0;
  row.each_tile([&](Acc const* logits, Acc, int64_t begin, int64_t count) {
    sum +=
        simd_sum<Acc>(count, [=, e = e + begin, others = row.others, z = row.z + begin](int64_t i) {
          Acc const x = math::exp(logits[i] - ref);
          e[i] = T(x * others.slope(z[i]));
          return x;
        });
  });
  return sum;
}

/// Merges a row into its statistics and writes its exponentials; returns their reference.
template <class Acc, class T, class Logits>
Acc exponentials_row(Logits const& row, SoftmaxSum<Acc> const& target, Acc* stats, T* e) {
  Acc const max = std::max({stats[RowStatistics::max], target.max, others_max<Acc>(row)});
  Acc const ref = math::reference(max);
  stats[RowStatistics::sum] =
      stats[RowStatistics::sum] * math::rescale(stats[RowStatistics::max], ref) +
      target.sum * math::rescale(target.max, ref) + write_exponentials(row, ref, e);
  stats[RowStatistics::max] = max;
  return ref;
}

template <class Acc, class T, class Logits>
void gradient_row(Logits const& row, Acc const* factors, Acc const* weights, T* g) {
  with(row.bias != nullptr, [&](auto biased) {
    with(weights != nullptr, [&](auto weighted) {
      simd(0, row.n,
           [=, lse = factors[RowGradient::lse],
            gradient = math::OtherGradient<Acc>(factors)](int64_t c) {
             Acc const x = math::exp(row.template logit<decltype(biased)::value>(c) - lse);
             g[c] = T(gradient(x, row.others.slope(row.z[c]), weighted ? weights[c] : Acc(1)));
           });
    });
  });
  if (row.has_target()) g[row.target] = T(factors[RowGradient::target]);
}

/// Converts stored exponentials, relative to ref and multiplied by slopes, to gradients in place.
/// `scale` is the slope of all classes if there is label smoothing.
template <class Acc, class T>
void stored_row(Acc const* factors, Acc ref, Acc scale, Acc const* weights, int64_t n,
                int64_t target, T* e) {
  Acc const share = factors[RowGradient::softmax] * math::exp(ref - factors[RowGradient::lse]);
  Acc const uniform = factors[RowGradient::uniform] * scale;
  with(uniform != 0, [&](auto smooth) {
    simd(0, n, [=](int64_t c) {
      Acc g = share * Acc(e[c]);
      if constexpr (smooth) g -= uniform * (weights ? weights[c] : Acc(1));
      e[c] = T(g);
    });
  });
  if (0 <= target && target < n) e[target] = T(factors[RowGradient::target]);
}

}  // namespace

void CpuKernels::softmax_statistics(LogitRule const& rule, ClassChunk const& chunk,
                                    Tensor const& labels, Tensor const& z, Tensor& stats) {
  visit_wide(z.dtype(), [&]<class Acc>() {
    TargetRule<Acc> const target_rule(rule, chunk);
    for_logit_rows<Acc>(rule, chunk, labels, z, [&](int64_t r, auto const& row) {
      Acc* const out = stats.data<Acc>() + RowStatistics::count * r;
      auto const target = add_target(row, target_rule, r, out);
      auto const all =
          math::merge(math::merge({out[RowStatistics::max], out[RowStatistics::sum]}, target),
                      others_sum<Acc>(row));
      out[RowStatistics::max] = all.max;
      out[RowStatistics::sum] = all.sum;
    });
  });
}

void CpuKernels::softmax_exponentials(LogitRule const& rule, ClassChunk const& chunk,
                                      Tensor const& labels, Tensor const& z, Tensor& stats,
                                      Tensor& e, Tensor& reference, Tensor& rescale) {
  visit_floating(e.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    TargetRule<Acc> const target_rule(rule, chunk);
    for_logit_rows<Acc>(rule, chunk, labels, z, [&](int64_t r, auto const& row) {
      Acc* const out = stats.data<Acc>() + RowStatistics::count * r;
      Acc const before = out[RowStatistics::max];
      auto const target = add_target(row, target_rule, r, out);
      Acc const ref = exponentials_row(row, target, out, e.data<T>() + r * row.n);
      reference.data<Acc>()[r] = ref;
      rescale.data<Acc>()[r] = math::rescale(before, ref);
    });
  });
}

void CpuKernels::softmax_gradient(LogitRule const& rule, ClassChunk const& chunk,
                                  Tensor const& labels, Tensor const& z, Tensor const& rows,
                                  Tensor& g) {
  visit_floating(g.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    for_logit_rows<Acc>(rule, chunk, labels, z, [&](int64_t r, auto const& row) {
      Acc const* const factors = rows.data<Acc>() + RowGradient::count * r;
      T* const out = g.data<T>() + r * row.n;
      if (RowGradient::counts(factors))
        gradient_row(row, factors, data_or_null<Acc>(chunk.weights), out);
      else
        std::fill_n(out, row.n, T(Acc(0)));
    });
  });
}

void CpuKernels::softmax_gradient_stored(LogitRule const& rule, ClassChunk const& chunk,
                                         Tensor const& labels, Tensor const& reference,
                                         Tensor const& rows, Tensor& e) {
  visit_floating(e.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    int64_t const n = channels(e);
    for_rows(e.size(0), n, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        Acc const* const factors = rows.data<Acc>() + RowGradient::count * r;
        T* const out = e.data<T>() + r * n;
        if (RowGradient::counts(factors))
          stored_row(factors, reference.data<Acc>()[r], static_cast<Acc>(rule.scale),
                     data_or_null<Acc>(chunk.weights), n, labels.data<int64_t>()[r] - chunk.first,
                     out);
        else
          std::fill_n(out, n, T(Acc(0)));
      }
    });
  });
}

}  // namespace core::cpu
