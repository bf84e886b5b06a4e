#include "layers/trunk/norm.h"
#include "core/device.h"

namespace layers {
using core::Role;
namespace {

core::Parameter count(Context const& context, std::string name) {
  core::Parameter p;
  p.name = std::move(name);
  p.role = Role::fixed;
  p.value = core::Tensor(context.device, {}, core::Dtype::i64);
  context.device.kernels().fill(0, p.value);
  p.compute = p.value;
  return p;
}

}  // namespace

BatchNorm::BatchNorm(Context const& context, std::string const& name, int64_t channels,
                     core::Activation activation, Gain gain)
    : activation_(activation),
      gain_(constant(context, name + ".weight", gain == Gain::fixed ? Role::fixed : Role::norm,
                     {channels}, 1)),
      bias_(constant(context, name + ".bias", Role::norm, {channels}, 0)),
      running_mean_(constant(context, name + ".running_mean", Role::statistics, {channels}, 0)),
      running_variance_(constant(context, name + ".running_var", Role::statistics, {channels}, 1)),
      batches_(count(context, name + ".num_batches_tracked")),
      state_{running_mean_.value, running_variance_.value} {
  state_.gather = context.gather;
}

core::Var BatchNorm::forward(core::Tape& tape, core::Var const& x, core::Var const& residual,
                             core::Var const& slope) {
  auto const gain = gain_.trainable() ? tape.parameter(gain_) : core::Tape::constant(gain_.value);
  auto const bias = tape.parameter(bias_);
  return batch_norm(tape, x, gain, bias, state_, activation_, residual, slope);
}

void BatchNorm::visit_parameters(Visit const& visit) {
  visit(gain_);
  visit(bias_);
  visit(running_mean_);
  visit(running_variance_);
  visit(batches_);
}

}  // namespace layers
