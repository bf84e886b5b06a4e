#pragma once
#include <memory>
#include "layers/layer.h"

namespace layers {

/// Residual blocks with the same number of output channels; the first one has the stride.
struct Stage {
  int64_t blocks, channels, stride;
};

/// A sequence of stages. Block j of stage k is named layerK.J, as in torchvision; k counts from 1,
/// j from 0.
template <class Block>
class Stages final : public Layer {
 public:
  Stages(Context const& context, int64_t in, std::vector<Stage> const& stages) {
    for (size_t k = 0; k < stages.size(); ++k) {
      auto const& [blocks, channels, stride] = stages[k];
      for (int64_t j = 0; j < blocks; ++j) {
        auto const name = core::join("layer", k + 1, '.', j);
        blocks_.push_back(
            std::make_unique<Block>(context, name, in, channels, j == 0 ? stride : 1));
        in = channels;
      }
    }
  }

  core::Var forward(core::Tape& tape, core::Var const& x) override {
    auto h = x;
    for (auto const& block : blocks_) h = block->forward(tape, h);
    return h;
  }

  void visit_parameters(Visit const& visit) override {
    for (auto const& block : blocks_) block->visit_parameters(visit);
  }

 private:
  std::vector<std::unique_ptr<Block>> blocks_;
};

}  // namespace layers
