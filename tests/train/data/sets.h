#pragma once
#include <memory>
#include <utility>
#include <vector>
#include "train/data/dataset.h"

namespace tests {

/// Data set with its images and labels in memory.
class MemorySet final : public train::Dataset {
 public:
  MemorySet(core::ImageShape shape, std::vector<float> pixels, std::vector<int64_t> labels)
      : shape_(shape), pixels_(std::move(pixels)), labels_(std::move(labels)) {}

  core::ImageShape shape() const override { return shape_; }
  int64_t size() const override { return static_cast<int64_t>(labels_.size()); }
  int64_t label(int64_t index) const override { return labels_[static_cast<size_t>(index)]; }
  void read(int64_t index, float* to) const override {
    std::copy_n(pixels_.begin() + index * shape_.count(), shape_.count(), to);
  }

 private:
  core::ImageShape shape_;
  std::vector<float> pixels_;
  std::vector<int64_t> labels_;
};

inline train::Split make_split(char const* name, core::ImageShape shape, std::vector<float> pixels,
                               std::vector<int64_t> labels) {
  return {name, std::make_shared<MemorySet>(shape, std::move(pixels), std::move(labels))};
}

}  // namespace tests
