#pragma once
#include <array>
#include <memory>
#include "core/image_shape.h"
#include "layers/layer.h"

namespace layers {

/// The replicated part of a network (backbone): images (b, H, W, Ch) to features (b, D).
class Trunk : public Layer {
 public:
  /// Number of features, D.
  virtual int64_t features() const = 0;
  /// Number of channels if the features are a flattened image, otherwise 0.
  virtual int64_t channels() const { return 0; }
};

/// Convolution (with bias, padding kernel / 2), ReLU, flatten. D is the size of the flattened
/// output.
struct ConvTrunk {
  int64_t width = 32;  ///< number of output channels
  int64_t kernel = 3, stride = 1;
};

/// A compact residual network for images of 28 to 64 pixels: a stem of one convolution; three
/// stages of `depth` basic blocks with 2, 4 and 8 times `width` channels, each halving the image;
/// flatten, dropout, a linear layer to D, batch norm.
struct SmallTrunk {
  int64_t width = 32;              ///< number of channels of the stem
  int64_t kernel = 3, stride = 1;  ///< kernel and stride of the stem; the kernel is odd
  int64_t depth = 1;               ///< blocks per stage
  int64_t features = 128;
  double dropout = 0;
};

/// ResNet (He et al. 2016) as in torchvision: a 7×7 convolution and a 3×3 max pooling, each halving
/// the image; four stages of residual blocks with 1, 2, 4 and 8 times `width` channels (times 4
/// with bottlenecks), all but the first halving the image; global average pooling. D is the number
/// of channels of the last stage. Accepts images of any size. Parameters have torchvision's names.
struct ResnetTrunk {
  enum class Block { basic, bottleneck };

  Block block = Block::basic;
  std::array<int64_t, 4> stages{2, 2, 2, 2};  ///< blocks per stage
  int64_t width = 64;                         ///< number of channels of the first convolution
};

inline constexpr ResnetTrunk resnet18{};
inline constexpr ResnetTrunk resnet34{.stages = {3, 4, 6, 3}};
inline constexpr ResnetTrunk resnet50{.block = ResnetTrunk::Block::bottleneck,
                                      .stages = {3, 4, 6, 3}};

/// ResNet for faces as in insightface ("IResNet"; blocks of Han et al. 2017, stem and end of Deng
/// et al. 2019): a 3×3 convolution, batch norm, PReLU; four stages of blocks with 1, 2, 4 and 8
/// times `width` channels, each halving the image, rounding up; batch norm, flatten, dropout, a
/// linear layer to D, batch norm with its gain fixed at 1. Accepts images of any size; designed for
/// 112 × 112. Parameters have insightface's names.
struct IresnetTrunk {
  std::array<int64_t, 4> stages{2, 2, 2, 2};  ///< blocks per stage
  int64_t width = 64;                         ///< number of channels of the first convolution
  int64_t features = 512;
  double dropout = 0;
};

inline constexpr IresnetTrunk iresnet18{};
inline constexpr IresnetTrunk iresnet34{.stages = {3, 4, 6, 3}};
inline constexpr IresnetTrunk iresnet50{.stages = {3, 4, 14, 3}};
inline constexpr IresnetTrunk iresnet100{.stages = {3, 13, 30, 3}};

/// Creates a trunk with initial weights for images of the given shape.
std::unique_ptr<Trunk> make_trunk(Context const&, ConvTrunk const&, core::ImageShape);
std::unique_ptr<Trunk> make_trunk(Context const&, SmallTrunk const&, core::ImageShape);
std::unique_ptr<Trunk> make_trunk(Context const&, ResnetTrunk const&, core::ImageShape);
std::unique_ptr<Trunk> make_trunk(Context const&, IresnetTrunk const&, core::ImageShape);

}  // namespace layers
