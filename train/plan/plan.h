#pragma once
#include "comm/metered.h"
#include "core/dry/device.h"
#include "train/config/experiment.h"
#include "train/data/dataset.h"

namespace train {

/// Sizes and device for which a step is planned.
struct PlanSizes {
  int ranks = 1;
  int64_t classes = 0;
  core::ImageShape image;
  core::dry::Traits device;
};

/// Resources of one training step on rank 0, the rank with the largest share. They are recorded by
/// running the real training step on a device without memory or arithmetic (core/dry).
struct StepPlan {
  int64_t peak = 0;                ///< peak memory of tensors, in bytes
  int64_t temporary = 0;           ///< bytes of them that only exist during a step
  core::dry::Parts parts_at_peak;  ///< bytes of each part at the time of the peak
  core::dry::Parts peak_of_parts;  ///< peak bytes of each part, at any time in the step
  int64_t loader = 0;              ///< host memory of batches, prefetched and current, in bytes
  std::string head;                ///< summary of the head's strategy
  core::Dtype dtype = core::Dtype::f32;  ///< dtype of the activations
  int64_t features = 0;                  ///< D
  int64_t chunk = 0;                     ///< classes per chunk of the head; 0: all
  int64_t rows = 0;                      ///< rows that the head processes at a time
  /// Kernels in order, by phases named as those of Trainer::phases; "" for those of the inputs.
  std::vector<core::dry::Stretch> stretches;
  std::vector<core::dry::Transfer> transfers;
  comm::Traffic traffic;  ///< traffic of a step, summed over ranks
  bool gpu = false;       ///< planned for a GPU
};

/// Plans a training step by a dry run.
/// Throws: ConfigError if the experiment cannot run on this number of ranks.
StepPlan plan_step(Experiment experiment, PlanSizes const& sizes);

/// Returns the largest number of classes, within 1 %, whose peak is at most `memory` bytes; 0 if
/// even one class per rank does not fit. The other sizes are unchanged.
int64_t most_classes(Experiment experiment, PlanSizes sizes, int64_t memory);

/// A change of the experiment that reduces the peak.
struct Suggestion {
  std::string change;  ///< setting or option, such as "head.storage=bf16"
  int64_t peak;        ///< peak in bytes with this change alone
};

/// Returns the changes that reduce the peak, each applied alone, sorted by their peak.
std::vector<Suggestion> suggestions(Experiment const& experiment, PlanSizes const& sizes,
                                    int64_t peak);

}  // namespace train
