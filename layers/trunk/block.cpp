#include "layers/trunk/block.h"

namespace layers {
using core::Activation;
using core::Tape;
using core::Var;

Shortcut::Shortcut(Context const& context, std::string const& name, int64_t in, int64_t out,
                   int64_t stride, double stddev) {
  if (in == out && stride == 1) return;
  conv_.emplace(
      context, name + ".0",
      Conv2d::Options{.in = in, .out = out, .kernel = 1, .stride = stride, .init_std = stddev});
  bn_.emplace(context, name + ".1", out);
}

Var Shortcut::forward(Tape& tape, Var const& x) {
  return conv_ ? bn_->forward(tape, conv_->forward(tape, x)) : x;
}

void Shortcut::visit_parameters(Visit const& visit) {
  if (!conv_) return;
  conv_->visit_parameters(visit);
  bn_->visit_parameters(visit);
}

BasicBlock::BasicBlock(Context const& context, std::string const& name, int64_t in, int64_t out,
                       int64_t stride)
    : conv1_(context, name + ".conv1",
             {.in = in, .out = out, .kernel = 3, .stride = stride, .padding = 1}),
      bn1_(context, name + ".bn1", out, Activation::relu),
      conv2_(context, name + ".conv2", {.in = out, .out = out, .kernel = 3, .padding = 1}),
      bn2_(context, name + ".bn2", out, Activation::relu),
      shortcut_(context, name + ".downsample", in, out, stride) {}

Var BasicBlock::forward(Tape& tape, Var const& x) {
  auto const h = bn1_.forward(tape, conv1_.forward(tape, x));
  auto const around = shortcut_.forward(tape, x);
  return bn2_.forward(tape, conv2_.forward(tape, h), around);
}

void BasicBlock::visit_parameters(Visit const& visit) {
  conv1_.visit_parameters(visit);
  bn1_.visit_parameters(visit);
  conv2_.visit_parameters(visit);
  bn2_.visit_parameters(visit);
  shortcut_.visit_parameters(visit);
}

Bottleneck::Bottleneck(Context const& context, std::string const& name, int64_t in, int64_t out,
                       int64_t stride)
    : conv1_(context, name + ".conv1", {.in = in, .out = out / expansion, .kernel = 1}),
      bn1_(context, name + ".bn1", out / expansion, Activation::relu),
      conv2_(context, name + ".conv2",
             {.in = out / expansion,
              .out = out / expansion,
              .kernel = 3,
              .stride = stride,
              .padding = 1}),
      bn2_(context, name + ".bn2", out / expansion, Activation::relu),
      conv3_(context, name + ".conv3", {.in = out / expansion, .out = out, .kernel = 1}),
      bn3_(context, name + ".bn3", out, Activation::relu),
      shortcut_(context, name + ".downsample", in, out, stride) {}

Var Bottleneck::forward(Tape& tape, Var const& x) {
  auto h = bn1_.forward(tape, conv1_.forward(tape, x));
  h = bn2_.forward(tape, conv2_.forward(tape, h));
  auto const around = shortcut_.forward(tape, x);
  return bn3_.forward(tape, conv3_.forward(tape, h), around);
}

void Bottleneck::visit_parameters(Visit const& visit) {
  conv1_.visit_parameters(visit);
  bn1_.visit_parameters(visit);
  conv2_.visit_parameters(visit);
  bn2_.visit_parameters(visit);
  conv3_.visit_parameters(visit);
  bn3_.visit_parameters(visit);
  shortcut_.visit_parameters(visit);
}

IresnetBlock::IresnetBlock(Context const& context, std::string const& name, int64_t in, int64_t out,
                           int64_t stride)
    : bn1_(context, name + ".bn1", in),
      conv1_(context, name + ".conv1",
             {.in = in, .out = out, .kernel = 3, .padding = 1, .init_std = stddev}),
      bn2_(context, name + ".bn2", name + ".prelu", out),
      conv2_(
          context, name + ".conv2",
          {.in = out, .out = out, .kernel = 3, .stride = stride, .padding = 1, .init_std = stddev}),
      bn3_(context, name + ".bn3", out),
      shortcut_(context, name + ".downsample", in, out, stride, stddev) {}

Var IresnetBlock::forward(Tape& tape, Var const& x) {
  auto h = conv1_.forward(tape, bn1_.forward(tape, x));
  h = conv2_.forward(tape, bn2_.forward(tape, h));
  auto const around = shortcut_.forward(tape, x);
  return bn3_.forward(tape, h, around);
}

void IresnetBlock::visit_parameters(Visit const& visit) {
  bn1_.visit_parameters(visit);
  conv1_.visit_parameters(visit);
  bn2_.visit_parameters(visit);
  conv2_.visit_parameters(visit);
  bn3_.visit_parameters(visit);
  shortcut_.visit_parameters(visit);
}

}  // namespace layers
