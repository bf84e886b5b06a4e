#pragma once
#include <optional>
#include "layers/trunk/conv.h"
#include "layers/trunk/norm.h"
#include "layers/trunk/prelu.h"

/// Residual blocks: a path of convolutions, and a shortcut around it. All are made from a name, the
/// channels that enter and leave, and the stride.
namespace layers {

/// The way around a block: x, or where the shape changes a 1×1 convolution with batch norm.
class Shortcut final : public Layer {
 public:
  /// deviation: Conv2d's.
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
  static constexpr int64_t expansion = 1;  ///< channels out over those within

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

/// The bottleneck block of ResNet (He et al. 2016, figure 5 right): convolutions 1×1 to a quarter
/// of `out`, 3×3, 1×1, each with batch norm. The stride is that of the 3×3 one, as in torchvision
/// ("v1.5"; the paper has it in the first).
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
/// and no activation at the end. Weights of convolutions begin with deviation 0.1.
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
  BatchNorm bn2_;
  Prelu prelu_;
  Conv2d conv2_;
  BatchNorm bn3_;
  Shortcut shortcut_;
};

}  // namespace layers
