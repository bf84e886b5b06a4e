#pragma once
#include <cmath>
#include <limits>
#include "core/math/exp.h"
#include "core/math/host_device.h"

/// Softmax over classes that are processed in chunks.
namespace core::math {

/// Reference point of a sum of exponentials, subtracted from logits so that exp cannot overflow:
/// the maximum, or 0 if it is not finite (no classes, or all -inf).
template <class Acc>
COLONNADE_HD Acc reference(Acc max) {
  return std::isfinite(max) ? max : Acc(0);
}

/// Maximum of a set of logits z, and the sum of exp(z - reference(max)). Empty set: {-inf, 0}.
template <class Acc>
struct SoftmaxSum {
  Acc max, sum;
};

template <class Acc>
inline constexpr SoftmaxSum<Acc> no_classes{-std::numeric_limits<Acc>::infinity(), 0};

/// Factor that converts a sum relative to reference(max) to a sum relative to `ref`.
template <class Acc>
COLONNADE_HD Acc rescale(Acc max, Acc ref) {
  return std::isfinite(max) ? exp(max - ref) : Acc(0);
}

template <class Acc>
COLONNADE_HD SoftmaxSum<Acc> merge(SoftmaxSum<Acc> const& a, SoftmaxSum<Acc> const& b) {
  Acc const max = a.max < b.max ? b.max : a.max, ref = reference(max);
  return {max, a.sum * rescale(a.max, ref) + b.sum * rescale(b.max, ref)};
}

/// Log of the sum of exp over all logits.
template <class Acc>
COLONNADE_HD Acc log_sum_exp(SoftmaxSum<Acc> const& s) {
  return reference(s.max) + std::log(s.sum);
}

/// Sums over classes are accumulated in tiles of this size and then merged: one f32 sum over
/// millions of classes would be too low.
inline constexpr int64_t tile_classes = 4096;

constexpr int64_t tiles_of(int64_t classes) { return (classes + tile_classes - 1) / tile_classes; }

/// Sums of one row over the classes of a tile, or of several, without the target.
template <class Acc>
struct TileSum {
  SoftmaxSum<Acc> exponentials;
  Acc logits;  ///< sum of class weight times logit, if requested
};

template <class Acc>
COLONNADE_HD TileSum<Acc> merge(TileSum<Acc> const& a, TileSum<Acc> const& b) {
  return {merge(a.exponentials, b.exponentials), a.logits + b.logits};
}

/// Columns of a tile in a matrix of `count` columns in which every `chunk` columns start a new
/// tile.
struct TileColumns {
  int64_t begin, end;

  COLONNADE_HD TileColumns(int64_t tile, int64_t chunk, int64_t count) {
    int64_t const tiles = tiles_of(chunk), first = tile / tiles * chunk;
    int64_t const limit = first + chunk < count ? first + chunk : count;
    begin = first + tile % tiles * tile_classes;
    end = begin + tile_classes < limit ? begin + tile_classes : limit;
  }
};

/// Largest difference of logits whose exponential times any slope is far from overflow in f32 and
/// bf16.
inline constexpr int reach = 60;

/// Reference of a tile's exponentials: that of the row, unless the tile's maximum is out of reach.
template <class Acc>
COLONNADE_HD Acc tile_reference(Acc max, Acc of_row) {
  return max - of_row <= Acc(reach) ? of_row : max;
}

/// Reference of a row's aligned exponentials: Kernels::softmax_align. `largest`: that of all tiles.
template <class Acc>
COLONNADE_HD Acc aligned_reference(Acc largest, Acc lse) {
  return std::isfinite(lse) && lse - largest > Acc(reach) ? lse : largest;
}

/// Indices of a row's statistics, accumulated in passes over classes: Kernels::softmax_begin.
struct RowStatistics {
  static constexpr int max = 0, sum = 1, target = 2, logits = 3, weight = 4, slope = 5, count = 6;
};

/// Merges tiles of the row into its statistics.
template <class Acc>
COLONNADE_HD void merge_into(Acc* stats, TileSum<Acc> const& tiles) {
  SoftmaxSum<Acc> const before{stats[RowStatistics::max], stats[RowStatistics::sum]};
  auto const all = merge(before, tiles.exponentials);
  stats[RowStatistics::max] = all.max;
  stats[RowStatistics::sum] = all.sum;
  stats[RowStatistics::logits] += tiles.logits;
}

/// Indices of the terms of a row's gradient: Kernels::softmax_merge.
struct RowGradient {
  static constexpr int lse = 0, softmax = 1, uniform = 2, target = 3, count = 4;

  /// Returns false if the row's gradient is 0 for all classes, whatever the products are.
  template <class Acc>
  COLONNADE_HD static bool counts(Acc const* row) {
    return row[softmax] != 0 || row[uniform] != 0 || row[target] != 0;
  }

  /// Returns the gradient's factor of exponentials with this reference.
  template <class Acc>
  COLONNADE_HD static Acc factor(Acc const* row, Acc reference) {
    return row[softmax] == 0 ? Acc(0) : row[softmax] * rescale(reference, row[lse]);
  }

  /// Returns the exponential from which the factor makes the target's gradient.
  template <class Acc>
  COLONNADE_HD static Acc target_exponential(Acc const* row, Acc factor) {
    return factor == 0 ? Acc(0) : row[target] / factor;
  }
};

/// Loss of a row with target y, log-sum-exp lse and class weights w, before division by Σ w_y over
/// the rows that count: PyTorch's cross_entropy with weight and label_smoothing, plus a z-loss:
///   (1 - ε) w_y (lse - z_y) + ε / C Σ_c w_c (lse - z_c) + λ w_y lse²
struct LossRule {
  double smoothing = 0;   ///< ε
  double z_loss = 0;      ///< λ
  double classes = 1;     ///< C
  double weight_sum = 1;  ///< Σ_c w_c
};

/// Evaluates LossRule for one row.
template <class Acc>
struct RowLoss {
  Acc smoothing, uniform, weight_sum, z_loss;  ///< uniform: ε / C

  explicit RowLoss(LossRule const& rule)
      : smoothing(static_cast<Acc>(rule.smoothing)),
        uniform(static_cast<Acc>(rule.smoothing / rule.classes)),
        weight_sum(static_cast<Acc>(rule.weight_sum)),
        z_loss(static_cast<Acc>(rule.z_loss)) {}

  /// Returns the row's loss, not yet divided by the total weight of the batch.
  COLONNADE_HD Acc loss(Acc lse, Acc const* stats) const {
    Acc const weight = stats[RowStatistics::weight];
    Acc const smooth =
        uniform == 0 ? Acc(0) : uniform * (weight_sum * lse - stats[RowStatistics::logits]);
    return (1 - smoothing) * weight * (lse - stats[RowStatistics::target]) + smooth +
           weight * z_loss * lse * lse;
  }
  COLONNADE_HD void factors(Acc lse, Acc const* stats, Acc* row) const {
    Acc const weight = stats[RowStatistics::weight], own = (1 - smoothing) * weight;
    row[RowGradient::lse] = lse;
    row[RowGradient::softmax] = own + uniform * weight_sum + 2 * z_loss * lse * weight;
    row[RowGradient::uniform] = uniform;
    row[RowGradient::target] =
        stats[RowStatistics::slope] *
        (row[RowGradient::softmax] * exp(stats[RowStatistics::target] - lse) - own -
         uniform * weight);
  }
};

struct LossAndWeight {
  double loss, weight;
};

/// Kernels::softmax_merge for row r.
template <class Acc>
struct MergeShards {
  RowLoss<Acc> rule;
  Acc const* parts;  ///< (shards, rows, RowStatistics::count)
  int64_t shards, count;
  int64_t const* labels;
  Acc* rows;  ///< (rows, RowGradient::count)

  /// Returns the row's loss and weight; both 0 if the label is negative.
  COLONNADE_HD LossAndWeight operator()(int64_t r) const {
    auto all = no_classes<Acc>;
    Acc stats[RowStatistics::count] = {};
    for (int64_t p = 0; p < shards; ++p) {
      Acc const* const part = parts + RowStatistics::count * (p * count + r);
      all = merge(all, {part[RowStatistics::max], part[RowStatistics::sum]});
      // Sums over shards; the target's entries are nonzero only in the shard that owns its class.
      for (int i = RowStatistics::target; i < RowStatistics::count; ++i) stats[i] += part[i];
    }
    Acc* const row = rows + RowGradient::count * r;
    Acc const lse = log_sum_exp(all);
    if (labels[r] < 0) {
      row[RowGradient::lse] = lse;
      row[RowGradient::softmax] = row[RowGradient::uniform] = row[RowGradient::target] = 0;
      return {0, 0};
    }
    rule.factors(lse, stats, row);
    return {static_cast<double>(rule.loss(lse, stats)),
            static_cast<double>(stats[RowStatistics::weight])};
  }
};

/// Kernels::softmax_mean.
struct MeanLoss {
  double loss, weight;

  COLONNADE_HD explicit MeanLoss(double const* sums)
      : loss(sums[1] == 0 ? 0 : sums[0] / sums[1]), weight(sums[1]) {}
  COLONNADE_HD bool finite() const { return std::isfinite(loss); }
  /// Factor for gradients that are not yet divided by the weight.
  COLONNADE_HD double gradient_scale() const { return finite() && weight != 0 ? 1 / weight : 0; }
  template <class Acc>
  COLONNADE_HD void divide(Acc* row) const {
    bool const counts = finite() && weight != 0;
    for (int i = RowGradient::softmax; i < RowGradient::count; ++i)
      row[i] = counts ? static_cast<Acc>(row[i] / weight) : Acc(0);
  }
};

/// Gradient of a row with respect to the product of a non-target class, from exp(z - lse), the
/// slope dz/dp and the class weight. Terms common to the row are loaded by the constructor, outside
/// of loops.
template <class Acc>
struct OtherGradient {
  Acc softmax, uniform;

  COLONNADE_HD explicit OtherGradient(Acc const* row)
      : softmax(row[RowGradient::softmax]), uniform(row[RowGradient::uniform]) {}
  COLONNADE_HD Acc operator()(Acc exponential, Acc slope, Acc weight) const {
    return slope * softmax * exponential - slope * uniform * weight;
  }
};

}  // namespace core::math
