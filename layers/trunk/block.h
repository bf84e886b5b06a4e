#pragma once
#include <optional>
#include "layers/trunk/conv.h"
#include "layers/trunk/norm.h"

/// Residual blocks: a path of convolutions and a shortcut around it. Constructor arguments are the
/// name, the numbers of input and output channels, and the stride.
namespace layers {

/// The shortcut of a block: x, or a 1×1 convolution with batch norm if the shape changes.
class Shortcut final : public Layer {
 public:
  /// `stddev`: see Conv2d::Options.
  Shortcut(Context const& context, std::string const& name, int64_t in, int64_t out, int64_t stride,
           double stddev = 0);

  core::Var forward(core::Tape& tape, core::Var const& x) override;
  void visit_parameters(Visit const& visit) override;

 private:
  std::optional<Conv2d> conv_;
  std::optional<BatchNorm> bn_;
};

/// The basic residual block of ResNet (He et al. 2016, figure 5 left):
/// relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)), 3×3 convolutions, the first with `stride`.
class BasicBlock final : public Layer {
 public:
  static constexpr int64_t expansion = 1;  ///< output channels / inner channels

  BasicBlock(Context const& context, std::string const& name, int64_t in, int64_t out,
             int64_t stride);

  core::Var forward(core::Tape& tape, core::Var const& x) override;
  void visit_parameters(Visit const& visit) override;

 private:
  Conv2d conv1_;
  BatchNorm bn1_;
  Conv2d conv2_;
  BatchNorm bn2_;
  Shortcut shortcut_;
};

/// The bottleneck block of ResNet (He et al. 2016, figure 5 right): convolutions 1×1 to out / 4
/// channels, 3×3, and 1×1, each with batch norm. The 3×3 convolution has the stride, as in
/// torchvision ("v1.5"; in the paper the first one has it).
class Bottleneck final : public Layer {
 public:
  static constexpr int64_t expansion = 4;

  Bottleneck(Context const& context, std::string const& name, int64_t in, int64_t out,
             int64_t stride);

  core::Var forward(core::Tape& tape, core::Var const& x) override;
  void visit_parameters(Visit const& visit) override;

 private:
  Conv2d conv1_;
  BatchNorm bn1_;
  Conv2d conv2_;
  BatchNorm bn2_;
  Conv2d conv3_;
  BatchNorm bn3_;
  Shortcut shortcut_;
};

/// The block of IResNet (insightface; Han et al. 2017 without the zero-padded shortcut):
/// bn3(conv2(prelu(bn2(conv1(bn1(x)))))) + shortcut(x), 3×3 convolutions, the second with `stride`,
/// no activation at the end. Initial weights of convolutions have standard deviation 0.1.
class IresnetBlock final : public Layer {
 public:
  static constexpr double stddev = 0.1;

  IresnetBlock(Context const& context, std::string const& name, int64_t in, int64_t out,
               int64_t stride);

  core::Var forward(core::Tape& tape, core::Var const& x) override;
  void visit_parameters(Visit const& visit) override;

 private:
  BatchNorm bn1_;
  Conv2d conv1_;
  NormPrelu bn2_;
  Conv2d conv2_;
  BatchNorm bn3_;
  Shortcut shortcut_;
};

}  // namespace layers
