#pragma once
#include <vector>
#include "core/device.h"

namespace train {

/// The losses of the latest steps, on the device: to look at one waits for it.
class LossHistory {
 public:
  /// Of `most` steps.
  LossHistory(core::Device& device, int64_t most)
      : device_(device), recent_(device, {most}, core::Dtype::f32) {}

  /// loss (1), f32.
  void add(core::Tensor const& loss) {
    auto place = recent_.rows(count_, count_ + 1);
    device_.copy(loss, place);
    ++count_;
  }

  /// Of the steps since the last call, oldest first.
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
