#pragma once
#include <functional>
#include "train/data/loader.h"
#include "train/model/model.h"

namespace train {

/// Accuracy of a model on one split.
struct Score {
  std::string split;
  int64_t samples = 0;
  double top1 = 0, top5 = 0;  ///< fractions in [0, 1]
};

/// Prediction for one sample.
struct Prediction {
  int64_t sample = 0;  ///< index in the split
  int64_t label = 0;
  std::vector<int64_t> best;  ///< the five best classes, best first; fewer if there are fewer
};

/// Predictions for one batch of a split.
struct BatchPrediction {
  Batch const& batch;     ///< images and labels of this rank
  int64_t first = 0;      ///< index in the split of the first sample of the global batch
  core::Tensor features;  ///< features of this rank's samples, (b, D), from the trunk
  layers::TopK top;       ///< best classes of every sample of the global batch
};

/// Calls `on_batch` for every batch of a split, in the split's order and without augmentation, with
/// the `places` best classes of each sample. Samples are distributed over the ranks batch by batch.
/// Collective; `on_batch` may be collective too.
void for_each_batch(Model& model, Split const& split, Experiment const& experiment,
                    core::Device& device, comm::Communicator& ranks, int places,
                    std::function<void(BatchPrediction const&)> const& on_batch);

/// Returns the exact top-1 and top-5 accuracy over all classes, the same on every rank. Samples are
/// distributed over the ranks batch by batch; `on_batch`, unless empty, receives the prediction for
/// every sample of this rank. Samples with the label Dataset::ignored are excluded, here and below.
/// Collective.
Score evaluate(Model& model, Split const& split, Experiment const& experiment, core::Device& device,
               comm::Communicator& ranks,
               std::function<void(Prediction const&)> const& on_batch = {});

/// Returns the same scores for the nearest neighbor on pixels, a baseline. The best classes of a
/// sample are those of the nearest training images by Euclidean distance, without normalization or
/// augmentation; each class counts once, at its nearest image. Samples are distributed over the
/// ranks. Collective.
/// Throws: core::Error if the images of the splits differ in shape.
Score nearest_neighbour(Split const& train, Split const& split, core::Device& device,
                        comm::Communicator& ranks);

}  // namespace train
