#include "layers/trunk/conv.h"
#include <cmath>

namespace layers {
using core::Role;

Conv2d::Conv2d(Context const& context, std::string const& name, Options const& options)
    : window_{{options.kernel, options.kernel},
              {options.stride, options.stride},
              {options.padding, options.padding},
              {options.dilation, options.dilation}},
      groups_(options.groups) {
  core::check(
      options.groups > 0 && options.in % options.groups == 0 && options.out % options.groups == 0,
      "convolution ", name, ": ", options.in, " input and ", options.out,
      " output channels cannot be divided into ", options.groups, " groups");
  int64_t const inputs = options.in / options.groups;
  auto const fan_in = static_cast<double>(options.kernel * options.kernel * inputs);
  auto const fan_out = static_cast<double>(options.kernel * options.kernel * options.out);
  weight_ = normal(context, name + ".weight", Role::weight,
                   {options.out, options.kernel, options.kernel, inputs},
                   options.init_std > 0 ? options.init_std : std::sqrt(2 / fan_out));
  if (options.bias) {
    bias_ = uniform(context, name + ".bias", Role::bias, {options.out}, 1 / std::sqrt(fan_in));
  }
}

core::Var Conv2d::forward(core::Tape& tape, core::Var const& x) {
  auto const w = tape.parameter(weight_);
  return conv2d(tape, x, w, bias_.value ? tape.parameter(bias_) : core::Var{}, window_, groups_);
}

void Conv2d::visit_parameters(Visit const& visit) {
  visit(weight_);
  if (bias_.value) visit(bias_);
}

}  // namespace layers
