#pragma once
#include <cstdint>

namespace core {

/// Height, width and channels of an image. All images of a data set, and of a network's input, have
/// the same shape.
struct ImageShape {
  int64_t height = 0, width = 0, channels = 0;
  int64_t count() const { return height * width * channels; }  ///< elements per image
  bool operator==(ImageShape const&) const = default;
};

}  // namespace core
