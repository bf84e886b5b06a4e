#pragma once
#include <algorithm>
#include <cmath>
#include <numbers>
#include "train/config/experiment.h"

namespace train {

/// Returns the learning rate of step `step` (from 0) of `total`: a linear warm-up, peak (w + 1) / W
/// in step w of W; then, over the remaining steps, the schedule: constant at the peak; from the
/// peak to final_lr (cosine, linear, polynomial); or the peak times `gamma` for each milestone
/// passed (step).
inline double lr_at(ScheduleConfig const& s, double peak, int64_t step, int64_t total) {
  if (step < s.warmup_steps) {
    return peak * static_cast<double>(step + 1) / static_cast<double>(s.warmup_steps);
  }
  double const length = static_cast<double>(std::max<int64_t>(total - s.warmup_steps, 1));
  double const done = std::min(static_cast<double>(step - s.warmup_steps) / length, 1.0);
  auto const between = [&](double share) { return s.final_lr + (peak - s.final_lr) * share; };
  switch (s.kind) {
    case Schedule::constant:
      return peak;
    case Schedule::cosine:
      return between((1 + std::cos(std::numbers::pi * done)) / 2);
    case Schedule::linear:
      return between(1 - done);
    case Schedule::polynomial:
      return between(std::pow(1 - done, s.power));
    case Schedule::step: {
      auto const passed = std::count_if(s.milestones.begin(), s.milestones.end(),
                                        [&](int64_t milestone) { return step >= milestone; });
      return peak * std::pow(s.gamma, static_cast<double>(passed));
    }
  }
  return peak;
}

}  // namespace train
