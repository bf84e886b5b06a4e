#pragma once
#include "layers/layer.h"

namespace layers {

/// A 2D convolution with a square kernel, like torch.nn.Conv2d. The weight (out, kernel, kernel, in
/// / groups) is initialized from a normal distribution with standard deviation `init_std`, by
/// default sqrt(2 / (kernel² out)) (He et al. 2015, fan out). The bias is initialized uniformly in
/// ±1/sqrt(kernel² in / groups), as in torch.nn.Conv2d.
class Conv2d final : public Layer {
 public:
  struct Options {
    int64_t in, out, kernel;
    int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
    bool bias = false;
    double init_std = 0;  ///< standard deviation of the initial weights; 0: the default
  };

  /// Throws: core::Error if `groups` does not divide `in` and `out`.
  Conv2d(Context const& context, std::string const& name, Options const& options);

  core::Var forward(core::Tape& tape, core::Var const& x) override;
  void visit_parameters(Visit const& visit) override;
  core::Window const& window() const { return window_; }

 private:
  core::Window window_;
  int64_t groups_;
  core::Parameter weight_;
  core::Parameter bias_;  ///< no value without a bias
};

}  // namespace layers
