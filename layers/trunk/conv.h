#pragma once
#include "layers/layer.h"

namespace layers {

/// A square convolution. Weights (out, kernel, kernel, in / groups), normal with `deviation`, by
/// default sqrt(2 / (kernel² out)) (He et al. 2015, fan out); bias uniform in
/// ±1/sqrt(kernel² in / groups), as torch.nn.Conv2d starts it.
class Conv2d final : public Layer {
 public:
  struct Options {
    int64_t in, out, kernel;
    int64_t stride = 1, padding = 0, dilation = 1, groups = 1;
    bool bias = false;
    double stddev = 0;  ///< of the initial weights; 0: the default
  };

  Conv2d(Context const& context, std::string const& name, Options const& options);

  core::Var forward(core::Tape& tape, core::Var const& x) override;
  void visit_parameters(Visit const& visit) override;
  core::Window const& window() const { return window_; }

 private:
  core::Window window_;
  int64_t groups_;
  core::Parameter weight_;
  core::Parameter bias_;  ///< no value where there is none
};

}  // namespace layers
