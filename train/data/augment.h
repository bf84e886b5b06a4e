#pragma once
#include "core/random.h"
#include "train/data/dataset.h"

namespace train {

/// Affine map from output to source coordinates: source = (xx x + xy y + x0, yx x + yy y + y0), in
/// pixels from the center of the image, x to the right and y down.
struct Affine {
  float xx = 1, xy = 0, x0 = 0;
  float yx = 0, yy = 1, y0 = 0;
};

/// Random augmentation of training images: one affine map, blur, contrast and brightness, noise.
///
/// A change whose amount is 0 leaves the pixels bitwise unchanged. The random numbers of one change
/// do not depend on which others are enabled. Not thread-safe: it has scratch memory.
class Augmenter {
 public:
  /// Throws: ConfigError if an amount is out of range.
  Augmenter(AugmentConfig const& config, core::ImageShape const& shape);

  /// Augments the (H, W, Ch) pixels in place. The result depends only on the pixels and `key`.
  void operator()(float* pixels, core::RandomKey const& key);

  /// Resamples the (H, W, Ch) pixels in place with bilinear interpolation; 0 outside the source.
  /// Whole-pixel shifts and mirror images are exact.
  void warp(float* pixels, Affine const& map);

  /// Gaussian blur in place. `stddev`: standard deviation in pixels; the kernel is truncated at 2.5
  /// standard deviations. Border pixels are replicated.
  void blur(float* pixels, float stddev);

 private:
  Affine draw_map(core::Random& random) const;

  AugmentConfig config_;
  core::ImageShape shape_;
  std::vector<float> padded_;  // source image with a border
  struct Tap {
    int32_t at;         // index in padded_ of the upper left of four pixels
    float right, down;  // interpolation weights of the right and the lower pixels
  };
  std::vector<Tap> taps_;  // taps of one output row
};

}  // namespace train
