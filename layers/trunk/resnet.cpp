#include "layers/trunk/block.h"
#include "layers/trunk/stages.h"
#include "layers/trunk/trunk.h"

namespace layers {
namespace {

constexpr core::Window stem_pool{.size = {3, 3}, .stride = {2, 2}, .padding = {1, 1}};

template <class Block>
class Resnet final : public Trunk {
 public:
  Resnet(Context const& context, ResnetTrunk const& options, int64_t channels)
      : features_(8 * options.width * Block::expansion),
        stem_(context, "conv1",
              {.in = channels, .out = options.width, .kernel = 7, .stride = 2, .padding = 3}),
        stem_bn_(context, "bn1", options.width, core::Activation::relu),
        stages_(context, options.width, stages(options)) {}

  core::Var forward(core::Tape& tape, core::Var const& x) override {
    auto const h = stem_bn_.forward(tape, stem_.forward(tape, x));
    return global_average_pool(tape, stages_.forward(tape, max_pool(tape, h, stem_pool)));
  }

  void visit_parameters(Visit const& visit) override {
    stem_.visit_parameters(visit);
    stem_bn_.visit_parameters(visit);
    stages_.visit_parameters(visit);
  }

  int64_t features() const override { return features_; }

 private:
  static std::vector<Stage> stages(ResnetTrunk const& options) {
    int64_t const out = options.width * Block::expansion;
    return {{options.stages[0], out, 1},
            {options.stages[1], 2 * out, 2},
            {options.stages[2], 4 * out, 2},
            {options.stages[3], 8 * out, 2}};
  }

  int64_t features_;
  Conv2d stem_;
  BatchNorm stem_bn_;
  Stages<Block> stages_;
};

}  // namespace

std::unique_ptr<Trunk> make_trunk(Context const& context, ResnetTrunk const& options,
                                  core::ImageShape image) {
  if (options.block == ResnetTrunk::Block::basic)
    return std::make_unique<Resnet<BasicBlock>>(context, options, image.channels);
  return std::make_unique<Resnet<Bottleneck>>(context, options, image.channels);
}

}  // namespace layers
