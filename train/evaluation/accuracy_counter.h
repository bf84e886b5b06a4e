#pragma once
#include "train/evaluation/evaluate.h"

namespace train {

/// Counts this rank's correct predictions on a split.
struct AccuracyCounter {
  int64_t samples = 0, top1 = 0, top5 = 0;

  /// Adds a sample. `best`: at most five classes, best first.
  void add(std::vector<int64_t> const& best, int64_t label);

  /// Returns the score over all ranks; fractions are 0 if there are no samples. Collective.
  Score score(std::string split, core::Device& device, comm::Communicator& ranks) const;
};

}  // namespace train
