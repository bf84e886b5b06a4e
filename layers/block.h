#pragma once
#include <optional>
#include "layers/conv.h"
#include "layers/norm.h"

namespace layers {

/// The basic residual block of ResNet (He et al. 2016, figure 5 left):
/// relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)), 3×3 convolutions, the first with `stride`;
/// the shortcut is a 1×1 convolution with batch norm where the shape changes.
class BasicBlock final : public Layer {
 public:
  BasicBlock(Context const& context, std::string const& name, int64_t in, int64_t out,
             int64_t stride);

  core::Var forward(core::Tape& tape, core::Var const& x) override;
  void each(Visit const& visit) override;

 private:
  Conv2d conv1_;
  BatchNorm bn1_;
  Conv2d conv2_;
  BatchNorm bn2_;
  std::optional<Conv2d> shortcut_conv_;
  std::optional<BatchNorm> shortcut_bn_;
};

}  // namespace layers
