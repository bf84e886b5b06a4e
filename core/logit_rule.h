#pragma once
#include "core/dispatch.h"
#include "core/kernels.h"

/// Form of LogitRule that kernels read, row by row; shared by the CPU and the GPU.
namespace core {

/// Logit of a row's target class.
template <class Acc>
struct TargetRule {
  Acc scale;
  Acc const* margins;  ///< (B, 3), or null
  math::BeyondPi beyond;
  math::MarginGradient gradient;
  bool sum_logits;
  Acc const *bias, *weights;  ///< (n), those of the chunk, or null

  TargetRule(LogitRule const& rule, ClassChunk const& chunk)
      : scale(static_cast<Acc>(rule.scale)),
        margins(data_or_null<Acc>(rule.margins)),
        beyond(rule.beyond),
        gradient(rule.gradient),
        sum_logits(rule.sum_logits),
        bias(data_or_null<Acc>(chunk.bias)),
        weights(data_or_null<Acc>(chunk.weights)) {}

  /// Writes the target entries of row r's statistics, for class c of the chunk, and adds the
  /// target's logit to the sum of logits. Returns the logit as a softmax sum of one term.
  COLONNADE_HD math::SoftmaxSum<Acc> operator()(int64_t r, int64_t c, Acc product,
                                                Acc* stats) const {
    auto const point = margin(r)(product);
    Acc const logit = scale * point.value + (bias ? bias[c] : Acc(0));
    Acc const weight = weights ? weights[c] : Acc(1);
    stats[math::RowStatistics::target] = logit;
    stats[math::RowStatistics::slope] = scale * point.slope;
    stats[math::RowStatistics::weight] = weight;
    if (sum_logits) stats[math::RowStatistics::logits] += weight * logit;
    return {logit, math::exp(logit - math::reference(logit))};
  }

 private:
  COLONNADE_HD math::Margin<Acc> margin(int64_t r) const {
    if (margins == nullptr) return {};
    return {margins[3 * r], margins[3 * r + 1], margins[3 * r + 2], beyond, gradient};
  }
};

/// Logits of a row's non-target classes; at(r) returns the function for row r.
template <class Acc>
struct ScaledRows {
  Acc scale;
  COLONNADE_HD math::Scaled<Acc> at(int64_t) const { return {scale}; }
};
template <class Acc>
struct FilteredRows {
  Acc scale;
  Acc const* thresholds;  ///< (B)
  COLONNADE_HD math::InterclassFilter<Acc> at(int64_t r) const { return {scale, thresholds[r]}; }
};
template <class Acc>
struct HardNegativeRows {
  Acc scale;
  Acc const *thresholds, *hardness;  ///< (B), (1)
  COLONNADE_HD math::HardNegatives<Acc> at(int64_t r) const {
    return {scale, thresholds[r], *hardness};
  }
};

/// Calls run with the ScaledRows, FilteredRows or HardNegativeRows that `rule` describes.
template <class Acc, class F>
void with_others(LogitRule const& rule, F const& run) {
  auto const scale = static_cast<Acc>(rule.scale);
  if (!rule.thresholds) return run(ScaledRows<Acc>{scale});
  auto const* const thresholds = rule.thresholds.data<Acc>();
  if (!rule.hardness) return run(FilteredRows<Acc>{scale, thresholds});
  run(HardNegativeRows<Acc>{scale, thresholds, rule.hardness.data<Acc>()});
}

}  // namespace core
