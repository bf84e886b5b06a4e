#include "layers/block.h"

namespace layers {

BasicBlock::BasicBlock(Context const& context, std::string const& name, int64_t in, int64_t out,
                       int64_t stride)
    : conv1_(context, name + ".conv1",
             {.in = in, .out = out, .kernel = 3, .stride = stride, .padding = 1}),
      bn1_(context, name + ".bn1", out, core::Activation::relu),
      conv2_(context, name + ".conv2", {.in = out, .out = out, .kernel = 3, .padding = 1}),
      bn2_(context, name + ".bn2", out, core::Activation::relu) {
  if (in == out && stride == 1) return;
  shortcut_conv_.emplace(context, name + ".downsample.0",
                         Conv2d::Options{.in = in, .out = out, .kernel = 1, .stride = stride});
  shortcut_bn_.emplace(context, name + ".downsample.1", out);
}

core::Var BasicBlock::forward(core::Tape& tape, core::Var const& x) {
  auto const h = bn1_.forward(tape, conv1_.forward(tape, x));
  auto const shortcut =
      shortcut_conv_ ? shortcut_bn_->forward(tape, shortcut_conv_->forward(tape, x)) : x;
  return bn2_.forward(tape, conv2_.forward(tape, h), shortcut);
}

void BasicBlock::each(Visit const& visit) {
  conv1_.each(visit);
  bn1_.each(visit);
  conv2_.each(visit);
  bn2_.each(visit);
  if (!shortcut_conv_) return;
  shortcut_conv_->each(visit);
  shortcut_bn_->each(visit);
}

}  // namespace layers
