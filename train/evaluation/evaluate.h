#pragma once
#include <functional>
#include "train/data/loader.h"
#include "train/model/model.h"

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

/// What a model makes of one batch of a split.
struct BatchPrediction {
  Batch const& batch;     ///< this rank's rows
  int64_t first = 0;      ///< index in the split of the batch's first sample
  core::Tensor features;  ///< of the trunk, (b, D), of this rank's rows
  layers::TopK top;       ///< of the whole batch
};

/// Walks through a split in its order, without augmentation, and tells `seen` of every batch.
/// Collective, and so may `seen` be. Samples are dealt to the ranks batch by batch.
void for_each_batch(Model& model, Split const& split, Experiment const& experiment,
                    core::Device& device, comm::Communicator& ranks, int places,
                    std::function<void(BatchPrediction const&)> const& on_batch);

/// Exact top-1 and top-5 over all classes, the same on every rank. Samples are dealt to the ranks
/// batch by batch; `seen`, where given, is told of every sample of this rank. Samples whose label
/// is Dataset::ignored are left out, here and below.
Score evaluate(Model& model, Split const& split, Experiment const& experiment, core::Device& device,
               comm::Communicator& ranks,
               std::function<void(Prediction const&)> const& on_batch = {});

/// The same scores for the nearest neighbour on pixels: each sample is given the classes of the
/// training images nearest to it (Euclidean distance, images as the set has them, a class counted
/// once at its nearest image). Samples are dealt to the ranks.
Score nearest_neighbour(Split const& train, Split const& split, core::Device& device,
                        comm::Communicator& ranks);

}  // namespace train
