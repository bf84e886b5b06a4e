#pragma once
#include <cmath>
#include <limits>
#include "core/math/exp.h"
#include "core/math/host_device.h"

/// The softmax over classes that are read piece by piece.
namespace core::math {

/// What a sum of exponentials is measured from, so that it cannot overflow: the maximum, or 0 where
/// there is none (no classes, or all -inf).
template <class W>
COLONNADE_HD W reference(W max) {
  return std::isfinite(max) ? max : W(0);
}

/// Maximum of some logits z, and the sum of exp(z - reference(max)). None: {-inf, 0}.
template <class W>
struct SoftmaxSum {
  W max, sum;
};

template <class W>
inline constexpr SoftmaxSum<W> no_classes{-std::numeric_limits<W>::infinity(), 0};

/// What a sum measured from reference(max) is multiplied by, to be measured from `ref`.
template <class W>
COLONNADE_HD W rescale(W max, W ref) {
  return std::isfinite(max) ? exp(max - ref) : W(0);
}

template <class W>
COLONNADE_HD SoftmaxSum<W> merge(SoftmaxSum<W> const& a, SoftmaxSum<W> const& b) {
  W const max = a.max < b.max ? b.max : a.max, ref = reference(max);
  return {max, a.sum * rescale(a.max, ref) + b.sum * rescale(b.max, ref)};
}

/// Log of the sum of exp over all the logits.
template <class W>
COLONNADE_HD W log_sum_exp(SoftmaxSum<W> const& s) {
  return reference(s.max) + std::log(s.sum);
}

/// What a row's passes over classes leave: Kernels::softmax_begin.
struct Stats {
  static constexpr int max = 0, sum = 1, target = 2, logits = 3, weight = 4, slope = 5, count = 6;
};

/// What a row's gradients are made of: Kernels::softmax_merge.
struct Row {
  static constexpr int lse = 0, softmax = 1, uniform = 2, target = 3, count = 4;

  /// False where the gradients are all 0, whatever the products are.
  template <class W>
  COLONNADE_HD static bool counts(W const* row) {
    return row[softmax] != 0 || row[uniform] != 0 || row[target] != 0;
  }
};

/// The loss of a row with the target y, log-sum-exp lse and class weights w, all over Σ w_y of the
/// rows that count: PyTorch's cross_entropy with weight and label_smoothing, and a z-loss:
///   (1 - ε) w_y (lse - z_y) + ε / C Σ_c w_c (lse - z_c) + λ w_y lse²
struct LossRule {
  double smoothing = 0;   ///< ε
  double z_loss = 0;      ///< λ
  double classes = 1;     ///< C
  double weight_sum = 1;  ///< Σ_c w_c
};

/// The same for a row's numbers.
template <class W>
struct RowLoss {
  W smoothing, uniform, weight_sum, z_loss;  ///< uniform: ε / C

  explicit RowLoss(LossRule const& rule)
      : smoothing(static_cast<W>(rule.smoothing)),
        uniform(static_cast<W>(rule.smoothing / rule.classes)),
        weight_sum(static_cast<W>(rule.weight_sum)),
        z_loss(static_cast<W>(rule.z_loss)) {}

  /// Not yet divided by the weight of the batch.
  COLONNADE_HD W loss(W lse, W const* stats) const {
    W const weight = stats[Stats::weight];
    W const smooth = uniform == 0 ? W(0) : uniform * (weight_sum * lse - stats[Stats::logits]);
    return (1 - smoothing) * weight * (lse - stats[Stats::target]) + smooth +
           weight * z_loss * lse * lse;
  }
  COLONNADE_HD void factors(W lse, W const* stats, W* row) const {
    W const weight = stats[Stats::weight], own = (1 - smoothing) * weight;
    row[Row::lse] = lse;
    row[Row::softmax] = own + uniform * weight_sum + 2 * z_loss * lse * weight;
    row[Row::uniform] = uniform;
    row[Row::target] = stats[Stats::slope] * (row[Row::softmax] * exp(stats[Stats::target] - lse) -
                                              own - uniform * weight);
  }
};

struct LossAndWeight {
  double loss, weight;
};

/// Kernels::softmax_merge, of row r.
template <class W>
struct MergeShards {
  RowLoss<W> rule;
  W const* parts;  ///< (shards, rows, Stats)
  int64_t shards, count;
  int64_t const* labels;
  W* rows;  ///< (rows, Row)

  /// Gives the row's loss and weight; none of either where the label is negative.
  COLONNADE_HD LossAndWeight operator()(int64_t r) const {
    auto all = no_classes<W>;
    W stats[Stats::count] = {};
    for (int64_t p = 0; p < shards; ++p) {
      W const* const part = parts + Stats::count * (p * count + r);
      all = merge(all, {part[Stats::max], part[Stats::sum]});
      // The target's are set by the one shard that holds it.
      for (int i = Stats::target; i < Stats::count; ++i) stats[i] += part[i];
    }
    W* const row = rows + Row::count * r;
    W const lse = log_sum_exp(all);
    if (labels[r] < 0) {
      row[Row::lse] = lse;
      row[Row::softmax] = row[Row::uniform] = row[Row::target] = 0;
      return {0, 0};
    }
    rule.factors(lse, stats, row);
    return {static_cast<double>(rule.loss(lse, stats)), static_cast<double>(stats[Stats::weight])};
  }
};

/// Kernels::softmax_mean.
struct MeanLoss {
  double loss, weight;

  COLONNADE_HD explicit MeanLoss(double const* sums)
      : loss(sums[1] == 0 ? 0 : sums[0] / sums[1]), weight(sums[1]) {}
  COLONNADE_HD bool finite() const { return std::isfinite(loss); }
  /// What gradients that nobody has divided are multiplied with.
  COLONNADE_HD double factor() const { return finite() && weight != 0 ? 1 / weight : 0; }
  template <class W>
  COLONNADE_HD void divide(W* row) const {
    bool const counts = finite() && weight != 0;
    for (int i = Row::softmax; i < Row::count; ++i)
      row[i] = counts ? static_cast<W>(row[i] / weight) : W(0);
  }
};

/// A row's gradient in a product whose logit has this exponential exp(z - lse) and slope dz/dp, and
/// whose class, not the target, has this weight. What a row has in common comes first, so that it
/// leaves loops.
template <class W>
struct OtherGradient {
  W softmax, uniform;

  COLONNADE_HD explicit OtherGradient(W const* row)
      : softmax(row[Row::softmax]), uniform(row[Row::uniform]) {}
  COLONNADE_HD W operator()(W exponential, W slope, W weight) const {
    return slope * softmax * exponential - slope * uniform * weight;
  }
};

}  // namespace core::math
