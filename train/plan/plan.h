#pragma once
#include "comm/metered.h"
#include "core/dry/device.h"
#include "train/config/experiment.h"
#include "train/data/dataset.h"

namespace train {

/// What a step is planned for.
struct PlanSizes {
  int ranks = 1;
  int64_t classes = 0;
  core::ImageShape image;
  core::dry::Traits device;
};

/// What one training step takes of the fullest rank, rank 0: a real step's code, run on a device
/// without memory or arithmetic (core/dry).
struct StepPlan {
  int64_t peak = 0;                ///< bytes of tensors, at most
  core::dry::Parts parts_at_peak;  ///< its parts
  core::dry::Parts peak_of_parts;  ///< the most of each part in a step, whenever that is
  int64_t loader = 0;              ///< bytes of the host: batches read ahead, and the one in use
  std::string head;                ///< how the head goes over its classes
  core::Dtype dtype = core::Dtype::f32;     ///< of activations
  int64_t features = 0;                     ///< D
  int64_t chunk = 0;                        ///< classes at a time; 0: all
  int64_t rows = 0;                         ///< that go through the head at a time
  std::map<core::dry::Work, int64_t> work;  ///< kernels, and how often
  comm::Traffic traffic;                    ///< of a step, summed over ranks
};

/// Throws ConfigError where the experiment cannot run on so many ranks.
StepPlan plan_step(Experiment experiment, PlanSizes const& sizes);

/// About the most classes, to 1 %, whose peak is within `memory` bytes; 0 where one a rank is too
/// many. The other sizes stay.
int64_t most_classes(Experiment experiment, PlanSizes sizes, int64_t memory);

/// An experiment with something changed, and what that does to the peak.
struct Suggestion {
  std::string change;  ///< "head.storage=bf16"
  int64_t peak;
};

/// What makes the peak smaller, each change by itself, the best first.
std::vector<Suggestion> suggestions(Experiment const& experiment, PlanSizes const& sizes,
                                    int64_t peak);

/// Of a machine: FLOP/s, and bytes a second of memory and of a rank's network; 0: not known.
struct Rates {
  double flops = 0, memory = 0, network = 0;
};

/// Seconds of a step by those rates that are known.
struct StepTime {
  double compute = 0;  ///< each kernel at the slower of its arithmetic and its memory
  double network = 0;
};
StepTime predicted_time(StepPlan const& plan, Rates const& rates, int ranks);

}  // namespace train
