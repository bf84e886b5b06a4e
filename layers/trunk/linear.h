#pragma once
#include "layers/layer.h"

namespace layers {

/// y = x Wᵀ + b. Weight (out, in) and bias (out) are initialized uniformly in ±1/sqrt(in), as in
/// torch.nn.Linear. `channels`: number of channels if x is a flattened image, otherwise 0.
class Linear final : public Layer {
 public:
  Linear(Context const& context, std::string const& name, int64_t in, int64_t out, bool bias,
         int64_t channels = 0);

  core::Var forward(core::Tape& tape, core::Var const& x) override;
  void visit_parameters(Visit const& visit) override;

 private:
  core::Parameter weight_;
  core::Parameter bias_;  ///< no value without a bias
};

}  // namespace layers
