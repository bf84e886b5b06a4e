#pragma once
#include "layers/layer.h"

namespace layers {

enum class Gain {
  trained,
  fixed,  ///< constant 1, not trained
};

/// Batch normalization over the last axis, optionally fused with a residual addition and a ReLU.
/// Statistics are those of the rank's batch, or of the global batch if the context has `gather`.
class BatchNorm final : public Layer {
 public:
  BatchNorm(Context const& context, std::string const& name, int64_t channels,
            core::Activation activation = core::Activation::none, Gain gain = Gain::trained);

  core::Var forward(core::Tape& tape, core::Var const& x) override { return forward(tape, x, {}); }
  /// Returns activation(norm(x) + residual). `slope`: see core::batch_norm.
  core::Var forward(core::Tape& tape, core::Var const& x, core::Var const& residual,
                    core::Var const& slope = {});
  void visit_parameters(Visit const& visit) override;

 private:
  core::Activation activation_;
  core::Parameter gain_, bias_, running_mean_, running_variance_;
  core::Parameter batches_;  ///< i64, a scalar: num_batches_tracked, steps trained before loading
  core::BatchNorm state_;
};

/// Batch normalization followed by PReLU (He et al. 2015), in one pass over memory. Slopes are
/// initialized to 0.25.
class NormPrelu final : public Layer {
 public:
  /// norm, prelu: names of the two.
  NormPrelu(Context const& context, std::string const& norm, std::string const& prelu,
            int64_t channels)
      : norm_(context, norm, channels, core::Activation::prelu),
        slope_(constant(context, prelu + ".weight", core::Role::norm, {channels}, 0.25)) {}

  core::Var forward(core::Tape& tape, core::Var const& x) override {
    return norm_.forward(tape, x, {}, tape.parameter(slope_));
  }
  void visit_parameters(Visit const& visit) override {
    norm_.visit_parameters(visit);
    visit(slope_);
  }

 private:
  BatchNorm norm_;
  core::Parameter slope_;
};

}  // namespace layers
