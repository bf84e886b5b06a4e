#pragma once
#include "layers/head/class_shard.h"

namespace layers {

/// Selects the classes of a step's softmax: all classes with a sample in the batch, and each other
/// class with probability `rate` (Partial FC: An et al. 2021, 2022).
struct ClassSampler {
  uint64_t seed = 1;
  int64_t step = 1;
  double rate = 1;  ///< sampling probability, in (0, 1], of a class without a sample in the batch
  bool log_q = false;  ///< subtract log(sampling probability) from the logits of sampled classes
};

/// Returns the sampled classes among [begin, begin + count), as offsets from `begin`, ascending:
/// the classes that occur in `labels`, and each other class with probability `rate`. A class is
/// decided by its own random number, so the result does not depend on the ranks or on other
/// classes.
std::vector<int64_t> drawn_classes(ClassSampler const& draw, int64_t begin, int64_t count,
                                   std::vector<int64_t> const& labels);

/// Restricts each of the rank's `sets` to its sampled classes. Returns the labels (B), renumbered
/// by position among the sampled classes. labels (B), i64. `wide`: the accumulator type, dtype of
/// the shifts. Waits for the device.
core::Tensor draw_classes(ClassSampler const& draw, ClassShard const& rows,
                          core::Tensor const& labels, core::Dtype wide,
                          std::vector<ClassSet>& sets);

}  // namespace layers
