#pragma once
#include <cstdint>
#include "core/math/host_device.h"

namespace core::math {

/// Returns true if a class ranks before another: higher score, or equal score and lower index. NaN
/// ranks before nothing.
template <class Acc>
COLONNADE_HD bool ranks_before(Acc score, int64_t number, Acc other_score, int64_t other_number) {
  return score > other_score || (score == other_score && number < other_number);
}

/// The best k classes so far, in descending order of scores.
template <class Acc>
struct Best {
  Acc* scores;
  int64_t* classes;
  int64_t k;

  COLONNADE_HD bool admits(Acc score, int64_t number) const {
    return ranks_before(score, number, scores[k - 1], classes[k - 1]);
  }
  /// Inserts a class for which admits() is true.
  COLONNADE_HD void insert(Acc score, int64_t number) {
    int64_t at = k - 1;
    for (; at > 0 && ranks_before(score, number, scores[at - 1], classes[at - 1]); --at) {
      scores[at] = scores[at - 1];
      classes[at] = classes[at - 1];
    }
    scores[at] = score;
    classes[at] = number;
  }
};

}  // namespace core::math
