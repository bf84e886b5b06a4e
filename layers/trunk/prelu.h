#pragma once
#include "layers/layer.h"

namespace layers {

/// PReLU: x if x > 0, else slope[channel] x (He et al. 2015). Slopes are initialized to 0.25.
class Prelu final : public Layer {
 public:
  Prelu(Context const& context, std::string const& name, int64_t channels)
      : slope_(constant(context, name + ".weight", core::Role::norm, {channels}, 0.25)) {}

  core::Var forward(core::Tape& tape, core::Var const& x) override {
    return prelu(tape, x, tape.parameter(slope_));
  }
  void visit_parameters(Visit const& visit) override { visit(slope_); }

 private:
  core::Parameter slope_;
};

}  // namespace layers
