#pragma once
#include "layers/layer.h"

namespace layers {

/// y = x Wᵀ + b. Weight (out, in) and bias uniform in ±1/sqrt(in), as torch.nn.Linear starts them.
/// `channels`: of the images that were flattened into x; 0 where x is none.
class Linear final : public Layer {
 public:
  Linear(Context const& context, std::string const& name, int64_t in, int64_t out, bool bias,
         int64_t channels = 0);

  core::Var forward(core::Tape& tape, core::Var const& x) override;
  void visit_parameters(Visit const& visit) override;

 private:
  core::Parameter weight_;
  core::Parameter bias_;  ///< no value where there is none
};

}  // namespace layers
