#pragma once
#include "layers/layer.h"

namespace layers {

enum class Gain {
  trained,
  fixed,  ///< stays at 1
};

/// Batch normalisation over the last axis, with what often follows it fused in: a residual to add
/// and a ReLU. Statistics are the rank's, or the global batch's where the context has `gather`.
class BatchNorm final : public Layer {
 public:
  BatchNorm(Context const& context, std::string const& name, int64_t channels,
            core::Activation activation = core::Activation::none, Gain gain = Gain::trained);

  core::Var forward(core::Tape& tape, core::Var const& x) override { return forward(tape, x, {}); }
  /// act(norm(x) + residual)
  core::Var forward(core::Tape& tape, core::Var const& x, core::Var const& residual);
  void visit_parameters(Visit const& visit) override;

 private:
  core::Activation activation_;
  core::Parameter gain_, bias_, running_mean_, running_variance_;
  core::Parameter batches_;  ///< i64, a scalar: trained on before the first step here
  core::BatchNorm state_;
};

}  // namespace layers
