#pragma once
#include "core/dispatch.h"
#include "core/kernels.h"

/// A LogitRule as the kernels of both devices read it, row by row.
namespace core {

/// Of a row's target.
template <class W>
struct TargetRule {
  W scale;
  W const* margins;  ///< (B, 3), or null
  math::Beyond beyond;
  math::MarginGradient gradient;
  bool sum_logits;
  W const *bias, *weights;  ///< (n), of the chunk, or null

  TargetRule(LogitRule const& rule, ClassChunk const& chunk)
      : scale(static_cast<W>(rule.scale)),
        margins(data_or_null<W>(rule.margins)),
        beyond(rule.beyond),
        gradient(rule.gradient),
        sum_logits(rule.sum_logits),
        bias(data_or_null<W>(chunk.bias)),
        weights(data_or_null<W>(chunk.weights)) {}

  /// Writes what row r's statistics have of its target, class c of the chunk, and adds its logit to
  /// their sum of logits. Gives the logit as a sum of one.
  COLONNADE_HD math::SoftmaxSum<W> operator()(int64_t r, int64_t c, W product, W* stats) const {
    auto const point = margin(r)(product);
    W const logit = scale * point.value + (bias ? bias[c] : W(0));
    W const weight = weights ? weights[c] : W(1);
    stats[math::Stats::target] = logit;
    stats[math::Stats::slope] = scale * point.slope;
    stats[math::Stats::weight] = weight;
    if (sum_logits) stats[math::Stats::logits] += weight * logit;
    return {logit, math::exp(logit - math::reference(logit))};
  }

 private:
  COLONNADE_HD math::Margin<W> margin(int64_t r) const {
    if (margins == nullptr) return {};
    return {margins[3 * r], margins[3 * r + 1], margins[3 * r + 2], beyond, gradient};
  }
};

/// Of a row's other classes: at(r) is that of row r.
template <class W>
struct ScaledRows {
  W scale;
  COLONNADE_HD math::Scaled<W> at(int64_t) const { return {scale}; }
};
template <class W>
struct LeavingRows {
  W scale;
  W const* thresholds;  ///< (B)
  COLONNADE_HD math::LeaveAbove<W> at(int64_t r) const { return {scale, thresholds[r]}; }
};
template <class W>
struct HarderRows {
  W scale;
  W const *thresholds, *hardness;  ///< (B), (1)
  COLONNADE_HD math::HarderAbove<W> at(int64_t r) const {
    return {scale, thresholds[r], *hardness};
  }
};

/// Calls run with the one of these that the rule asks for.
template <class W, class F>
void with_others(LogitRule const& rule, F const& run) {
  auto const scale = static_cast<W>(rule.scale);
  if (!rule.thresholds) return run(ScaledRows<W>{scale});
  auto const* const thresholds = rule.thresholds.data<W>();
  if (!rule.hardness) return run(LeavingRows<W>{scale, thresholds});
  run(HarderRows<W>{scale, thresholds, rule.hardness.data<W>()});
}

}  // namespace core
