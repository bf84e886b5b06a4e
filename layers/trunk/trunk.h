#pragma once
#include <array>
#include <memory>
#include "core/image_shape.h"
#include "layers/layer.h"

namespace layers {

/// The replicated part of a network: images (b, H, W, Ch) to features (b, D).
class Trunk : public Layer {
 public:
  /// D.
  virtual int64_t features() const = 0;
  /// Where the features are an image flattened, its channels; otherwise 0.
  virtual int64_t channels() const { return 0; }
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

/// ResNet (He et al. 2016) as torchvision builds it: a 7×7 convolution and a 3×3 pooling that halve
/// the image, four stages of residual blocks with 1, 2, 4 and 8 times `width` channels (four times
/// that with bottlenecks) that halve it but for the first, the mean over the image. D is the last
/// stage's channels. Takes images of any size. Parameters have torchvision's names.
struct ResnetTrunk {
  enum class Block { basic, bottleneck };

  Block block = Block::basic;
  std::array<int64_t, 4> stages{2, 2, 2, 2};  ///< blocks of each
  int64_t width = 64;                         ///< channels of the first convolution
};

inline constexpr ResnetTrunk resnet18{};
inline constexpr ResnetTrunk resnet34{.stages = {3, 4, 6, 3}};
inline constexpr ResnetTrunk resnet50{.block = ResnetTrunk::Block::bottleneck,
                                      .stages = {3, 4, 6, 3}};

/// ResNet for faces as insightface builds it ("IResNet"; blocks of Han et al. 2017, stem and end of
/// Deng et al. 2019): a 3×3 convolution, batch norm, PReLU; four stages of blocks with 1, 2, 4 and
/// 8 times `width` channels, each halving the image, rounding up; batch norm, flatten, dropout, a
/// linear layer to D, batch norm with its gain fixed at 1. Takes images of any size; 112 × 112 is
/// what it was made for. Parameters have insightface's names.
struct IresnetTrunk {
  std::array<int64_t, 4> stages{2, 2, 2, 2};  ///< blocks of each
  int64_t width = 64;                         ///< channels of the first convolution
  int64_t features = 512;
  double dropout = 0;
};

inline constexpr IresnetTrunk iresnet18{};
inline constexpr IresnetTrunk iresnet34{.stages = {3, 4, 6, 3}};
inline constexpr IresnetTrunk iresnet50{.stages = {3, 4, 14, 3}};
inline constexpr IresnetTrunk iresnet100{.stages = {3, 13, 30, 3}};

std::unique_ptr<Trunk> make_trunk(Context const&, ConvTrunk const&, core::ImageShape);
std::unique_ptr<Trunk> make_trunk(Context const&, SmallTrunk const&, core::ImageShape);
std::unique_ptr<Trunk> make_trunk(Context const&, ResnetTrunk const&, core::ImageShape);
std::unique_ptr<Trunk> make_trunk(Context const&, IresnetTrunk const&, core::ImageShape);

}  // namespace layers
