#pragma once
#include <vector>
#include "core/device.h"

namespace train {

/// Recent losses, kept on the device so that logging does not synchronize every step.
class LossHistory {
 public:
  /// `most`: largest number of losses between two calls of `take`.
  LossHistory(core::Device& device, int64_t most)
      : device_(device), recent_(device, {most}, core::Dtype::f32) {}

  /// Adds the loss of a step: (1), f32.
  void add(core::Tensor const& loss) {
    auto place = recent_.rows(count_, count_ + 1);
    device_.copy(loss, place);
    ++count_;
  }

  /// Returns the losses added since the last call, oldest first. Blocks until the device has
  /// computed them.
  std::vector<float> take() {
    std::vector<float> losses(static_cast<size_t>(count_));
    device_.download(recent_.rows(0, count_), losses.data());
    count_ = 0;
    return losses;
  }

 private:
  core::Device& device_;
  core::Tensor recent_;
  int64_t count_ = 0;
};

}  // namespace train
