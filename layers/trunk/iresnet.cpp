#include "layers/trunk/block.h"
#include "layers/trunk/linear.h"
#include "layers/trunk/stages.h"
#include "layers/trunk/trunk.h"

namespace layers {
namespace {

/// Number of pixels of an image after four stages that halve its sides, rounding up.
int64_t after_stages(core::ImageShape const& image) {
  return ((image.height + 15) / 16) * ((image.width + 15) / 16);
}

class Iresnet final : public Trunk {
 public:
  Iresnet(Context const& context, IresnetTrunk const& options, core::ImageShape const& image)
      : options_(options),
        stem_(context, "conv1",
              {.in = image.channels,
               .out = options.width,
               .kernel = 3,
               .padding = 1,
               .init_std = IresnetBlock::stddev}),
        stem_bn_(context, "bn1", "prelu", options.width),
        stages_(context, options.width,
                {{options.stages[0], options.width, 2},
                 {options.stages[1], 2 * options.width, 2},
                 {options.stages[2], 4 * options.width, 2},
                 {options.stages[3], 8 * options.width, 2}}),
        bn_(context, "bn2", 8 * options.width),
        fc_(context, "fc", after_stages(image) * 8 * options.width, options.features, true,
            8 * options.width),
        features_bn_(context, "features", options.features, core::Activation::none, Gain::fixed) {}

  core::Var forward(core::Tape& tape, core::Var const& x) override {
    auto h = stem_bn_.forward(tape, stem_.forward(tape, x));
    h = flatten(tape, bn_.forward(tape, stages_.forward(tape, h)));
    h = dropout(tape, h, options_.dropout, 0);
    return features_bn_.forward(tape, fc_.forward(tape, h));
  }

  void visit_parameters(Visit const& visit) override {
    stem_.visit_parameters(visit);
    stem_bn_.visit_parameters(visit);
    stages_.visit_parameters(visit);
    bn_.visit_parameters(visit);
    fc_.visit_parameters(visit);
    features_bn_.visit_parameters(visit);
  }

  int64_t features() const override { return options_.features; }

 private:
  IresnetTrunk options_;
  Conv2d stem_;
  NormPrelu stem_bn_;
  Stages<IresnetBlock> stages_;
  BatchNorm bn_;
  Linear fc_;
  BatchNorm features_bn_;
};

}  // namespace

std::unique_ptr<Trunk> make_trunk(Context const& context, IresnetTrunk const& options,
                                  core::ImageShape image) {
  return std::make_unique<Iresnet>(context, options, image);
}

}  // namespace layers
