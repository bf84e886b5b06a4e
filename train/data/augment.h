#pragma once
#include "core/random.h"
#include "train/data/dataset.h"

namespace train {

/// Where a pixel of the result comes from: source = (xx x + xy y + x0, yx x + yy y + y0), in pixels
/// from the centre of the image, x to the right and y down.
struct Affine {
  float xx = 1, xy = 0, x0 = 0;
  float yx = 0, yy = 1, y0 = 0;
};

/// Changes training images at random: one affine map, blur, contrast and brightness, noise.
///
/// Whatever is 0 in the configuration leaves the pixels bitwise as they are. The numbers drawn for
/// one change do not depend on which others are on. For one thread at a time: it has scratch
/// memory.
class Augmenter {
 public:
  /// Throws ConfigError when an amount is out of range.
  Augmenter(AugmentConfig const& config, core::ImageShape const& shape);

  /// Changes the (H, W, Ch) pixels in place, by the numbers of `key` alone.
  void operator()(float* pixels, core::RandomKey const& key);

  /// Bilinear; 0 outside the source. Whole-pixel shifts and mirrors are exact.
  void warp(float* pixels, Affine const& map);

  /// Gaussian of this deviation in pixels, cut at 2.5 deviations; the border's pixels repeat.
  void blur(float* pixels, float stddev);

 private:
  Affine draw_map(core::Random& random) const;

  AugmentConfig config_;
  core::ImageShape shape_;
  std::vector<float> padded_;  // the source with a border
  struct Tap {
    int32_t at;         // in padded_, of the upper left of four pixels
    float right, down;  // weights of the right and the lower ones
  };
  std::vector<Tap> taps_;  // of a row
};

}  // namespace train
