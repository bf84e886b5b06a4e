#include "layers/trunk/trunk.h"
#include "layers/trunk/block.h"
#include "layers/trunk/linear.h"
#include "layers/trunk/stages.h"

namespace layers {
namespace {

class Conv final : public Trunk {
 public:
  Conv(Context const& context, ConvTrunk const& options, core::ImageShape image)
      : conv_(context, "conv",
              {.in = image.channels,
               .out = options.width,
               .kernel = options.kernel,
               .stride = options.stride,
               .padding = options.kernel / 2,
               .bias = true}),
        features_(conv_.window().out_height(image.height) * conv_.window().out_width(image.width) *
                  options.width),
        channels_(options.width) {}

  core::Var forward(core::Tape& tape, core::Var const& x) override {
    return flatten(tape, relu(tape, conv_.forward(tape, x)));
  }
  void visit_parameters(Visit const& visit) override { conv_.visit_parameters(visit); }
  int64_t features() const override { return features_; }
  int64_t channels() const override { return channels_; }

 private:
  Conv2d conv_;
  int64_t features_, channels_;
};

/// Number of pixels of an image after three stages that halve its sides, rounding up.
int64_t after_stages(int64_t height, int64_t width) {
  return ((height + 7) / 8) * ((width + 7) / 8);
}

class Small final : public Trunk {
 public:
  Small(Context const& context, SmallTrunk const& options, core::ImageShape image)
      : options_(options),
        stem_(context, "conv1",
              {.in = image.channels,
               .out = options.width,
               .kernel = options.kernel,
               .stride = options.stride,
               .padding = options.kernel / 2}),
        stem_bn_(context, "bn1", options.width, core::Activation::relu),
        stages_(context, options.width,
                {{options.depth, 2 * options.width, 2},
                 {options.depth, 4 * options.width, 2},
                 {options.depth, 8 * options.width, 2}}),
        fc_(context, "fc",
            after_stages(stem_.window().out_height(image.height),
                         stem_.window().out_width(image.width)) *
                8 * options.width,
            options.features, false, 8 * options.width),
        features_bn_(context, "features", options.features) {}

  core::Var forward(core::Tape& tape, core::Var const& x) override {
    auto h = stem_bn_.forward(tape, stem_.forward(tape, x));
    h = stages_.forward(tape, h);
    h = dropout(tape, flatten(tape, h), options_.dropout, 0);
    return features_bn_.forward(tape, fc_.forward(tape, h));
  }

  void visit_parameters(Visit const& visit) override {
    stem_.visit_parameters(visit);
    stem_bn_.visit_parameters(visit);
    stages_.visit_parameters(visit);
    fc_.visit_parameters(visit);
    features_bn_.visit_parameters(visit);
  }

  int64_t features() const override { return options_.features; }

 private:
  SmallTrunk options_;
  Conv2d stem_;
  BatchNorm stem_bn_;
  Stages<BasicBlock> stages_;
  Linear fc_;
  BatchNorm features_bn_;
};

}  // namespace

std::unique_ptr<Trunk> make_trunk(Context const& context, ConvTrunk const& options,
                                  core::ImageShape image) {
  return std::make_unique<Conv>(context, options, image);
}

std::unique_ptr<Trunk> make_trunk(Context const& context, SmallTrunk const& options,
                                  core::ImageShape image) {
  return std::make_unique<Small>(context, options, image);
}

}  // namespace layers
