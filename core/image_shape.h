#pragma once
#include <cstdint>

namespace core {

/// Height, width and channels of an image; every image of a data set and of a network's input has
/// the same.
struct ImageShape {
  int64_t height = 0, width = 0, channels = 0;
  int64_t count() const { return height * width * channels; }  ///< numbers of an image
  bool operator==(ImageShape const&) const = default;
};

}  // namespace core
