#pragma once
#include <functional>
#include "train/model.h"

namespace train {

/// How a model does on one split.
struct Score {
  std::string split;
  int64_t samples = 0;
  double top1 = 0, top5 = 0;  ///< shares in [0, 1]
};

/// One sample's answer: the five best classes.
struct Prediction {
  int64_t sample = 0;  ///< index in the split
  int64_t label = 0;
  std::vector<int64_t> best;
};

/// Exact top-1 and top-5 over all classes, the same on every rank. Samples are dealt to the ranks
/// batch by batch; `seen`, where given, is told of every sample of this rank.
Score evaluate(Model& model, Split const& split, Experiment const& experiment, core::Device& device,
               comm::Communicator& ranks, std::function<void(Prediction const&)> const& seen = {});

/// The same scores for the nearest neighbour on pixels: each sample is given the classes of the
/// training images nearest to it (Euclidean distance, images as the set has them, a class counted
/// once at its nearest image). Samples are dealt to the ranks.
Score nearest_neighbour(Split const& train, Split const& split, core::Device& device,
                        comm::Communicator& ranks);

}  // namespace train
