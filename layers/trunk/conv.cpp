#include "layers/trunk/conv.h"
#include <cmath>

namespace layers {
using core::Role;

Conv2d::Conv2d(Context const& context, std::string const& name, Options const& o)
    : window_{{o.kernel, o.kernel},
              {o.stride, o.stride},
              {o.padding, o.padding},
              {o.dilation, o.dilation}},
      groups_(o.groups) {
  core::check(o.groups > 0 && o.in % o.groups == 0 && o.out % o.groups == 0, "convolution ", name,
              ": ", o.in, " input and ", o.out, " output channels do not divide into ", o.groups,
              " groups");
  int64_t const inputs = o.in / o.groups;
  auto const fan_in = static_cast<double>(o.kernel * o.kernel * inputs);
  auto const fan_out = static_cast<double>(o.kernel * o.kernel * o.out);
  weight_ = normal(context, name + ".weight", Role::weight, {o.out, o.kernel, o.kernel, inputs},
                   o.stddev > 0 ? o.stddev : std::sqrt(2 / fan_out));
  if (o.bias) {
    bias_ = uniform(context, name + ".bias", Role::bias, {o.out}, 1 / std::sqrt(fan_in));
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
