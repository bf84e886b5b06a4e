#include "layers/norm.h"

namespace layers {
using core::Role;

BatchNorm::BatchNorm(Context const& context, std::string const& name, int64_t channels,
                     core::Activation activation)
    : activation_(activation),
      gain_(constant(context, name + ".weight", Role::norm, {channels}, 1)),
      bias_(constant(context, name + ".bias", Role::norm, {channels}, 0)),
      running_mean_(constant(context, name + ".running_mean", Role::statistics, {channels}, 0)),
      running_variance_(constant(context, name + ".running_var", Role::statistics, {channels}, 1)),
      state_{running_mean_.value, running_variance_.value} {
  state_.gather = context.gather;
}

core::Var BatchNorm::forward(core::Tape& tape, core::Var const& x, core::Var const& residual) {
  auto const gain = tape.use(gain_), bias = tape.use(bias_);
  return batch_norm(tape, x, gain, bias, state_, activation_, residual);
}

void BatchNorm::each(Visit const& visit) {
  visit(gain_);
  visit(bias_);
  visit(running_mean_);
  visit(running_variance_);
}

}  // namespace layers
