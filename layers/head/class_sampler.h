#pragma once
#include "layers/head/class_shard.h"

namespace layers {

/// Which classes a step's softmax is over (Partial FC: An et al. 2021, 2022).
struct ClassSampler {
  uint64_t seed = 1;
  int64_t step = 1;
  double rate = 1;     ///< in (0, 1]: the chance of a class that no sample of the batch has
  bool log_q = false;  ///< logits get -log of the class's chance
};

/// The drawn classes among [begin, begin + count), as numbers from `begin`, ascending: those that
/// are a label, and of the others each with the draw's chance, by its own random number. So the
/// draw of a class depends on neither ranks nor other classes.
std::vector<int64_t> drawn_classes(ClassSampler const& draw, int64_t begin, int64_t count,
                                   std::vector<int64_t> const& labels);

/// Leaves of each of a rank's sets the classes that are drawn; gives labels (B) as the sets then
/// count classes. labels (B), i64. Shifts are of dtype `wide`. Waits for the device.
core::Tensor draw_classes(ClassSampler const& draw, ClassShard const& rows,
                          core::Tensor const& labels, core::Dtype wide,
                          std::vector<ClassSet>& sets);

}  // namespace layers
