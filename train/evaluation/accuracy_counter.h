#pragma once
#include "train/evaluation/evaluate.h"

namespace train {

/// This rank's right answers on a split, on the way to a Score.
struct AccuracyCounter {
  int64_t samples = 0, top1 = 0, top5 = 0;

  /// `best`: at most five classes, best first.
  void add(std::vector<int64_t> const& best, int64_t label);

  /// Of all ranks; shares are 0 where there are no samples. Collective.
  Score score(std::string split, core::Device& device, comm::Communicator& ranks) const;
};

}  // namespace train
