#pragma once
#include <memory>
#include "layers/layer.h"

namespace layers {

/// The replicated part of a network: images (b, H, W, Ch) to features (b, D).
class Trunk : public Layer {
 public:
  /// D.
  virtual int64_t features() const = 0;
};

/// Size of the images that enter.
struct ImageSize {
  int64_t height, width, channels;
};

/// Convolution (with bias, padding kernel / 2), ReLU, flatten: D is what the image leaves.
struct ConvTrunk {
  int64_t width = 32;  ///< output channels
  int64_t kernel = 3, stride = 1;
};

/// A compact residual net for images of 28 to 64 pixels: a stem of one convolution; three stages of
/// `depth` basic blocks with 2, 4 and 8 times `width` channels, each halving the image; flatten,
/// dropout, a linear layer to D, batch norm.
struct SmallTrunk {
  int64_t width = 32;              ///< channels of the stem
  int64_t kernel = 3, stride = 1;  ///< of the stem; the kernel is odd
  int64_t depth = 1;               ///< blocks of a stage
  int64_t features = 128;
  double dropout = 0;
};

std::unique_ptr<Trunk> make_trunk(Context const&, ConvTrunk const&, ImageSize);
std::unique_ptr<Trunk> make_trunk(Context const&, SmallTrunk const&, ImageSize);

}  // namespace layers
