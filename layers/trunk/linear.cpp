#include "layers/trunk/linear.h"
#include <cmath>

namespace layers {
using core::Role;

Linear::Linear(Context const& context, std::string const& name, int64_t in, int64_t out, bool bias,
               int64_t channels) {
  double const bound = 1 / std::sqrt(static_cast<double>(in));
  weight_ = uniform(context, name + ".weight", Role::weight, {out, in}, bound);
  weight_.channels = channels;
  if (bias) bias_ = uniform(context, name + ".bias", Role::bias, {out}, bound);
}

core::Var Linear::forward(core::Tape& tape, core::Var const& x) {
  auto const w = tape.parameter(weight_);
  return linear(tape, x, w, bias_.value ? tape.parameter(bias_) : core::Var{});
}

void Linear::visit_parameters(Visit const& visit) {
  visit(weight_);
  if (bias_.value) visit(bias_);
}

}  // namespace layers
