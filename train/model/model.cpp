#include "train/model/model.h"
#include "core/device.h"
#include "layers/head/row_parallel_head.h"
#include "train/config/fields.h"
#include "train/errors.h"
#include "train/model/make_head.h"

namespace train {
namespace {

layers::Context make_context(Experiment const& experiment, core::Device& device,
                             comm::Communicator& ranks) {
  layers::Context made{device, resolve(experiment.precision, device), experiment.seed, {}};
  if (experiment.model.batch_norm == BatchNormKind::sync && ranks.size() > 1) {
    made.gather = [&ranks = ranks.named("batch norm")](core::Tensor const& mine) {
      core::Shape shape{ranks.size()};
      shape.insert(shape.end(), mine.shape().begin(), mine.shape().end());
      core::Tensor all(mine.device(), shape, mine.dtype());
      ranks.all_gather(mine, all)->wait();
      return all;
    };
  }
  return made;
}

std::unique_ptr<layers::Head> make_head(layers::Context const& context,
                                        Experiment const& experiment, comm::Mesh& mesh,
                                        int64_t features, int64_t classes) {
  if (experiment.head.kind == HeadKind::row_parallel) {
    return std::make_unique<layers::RowParallelHead>(
        context, mesh.world(),
        layers::RowParallelHead::Options{classes, features, experiment.head.bias,
                                         experiment.optimizer.momentum > 0});
  }
  return make_sharded_head(context, experiment, mesh, features, classes);
}

std::unique_ptr<layers::Trunk> make_iresnet(layers::Context const& context,
                                            layers::IresnetTrunk shape, ModelConfig const& config,
                                            core::ImageShape const& image) {
  shape.features = config.features.value_or(shape.features);
  shape.dropout = config.dropout;
  return layers::make_trunk(context, shape, image);
}

}  // namespace

std::unique_ptr<layers::Trunk> make_trunk(layers::Context const& context, ModelConfig const& config,
                                          core::ImageShape const& image) {
  switch (config.trunk) {
    case Trunk::conv:
      return layers::make_trunk(
          context, layers::ConvTrunk{config.width, config.kernel, config.stride}, image);
    case Trunk::small:
      return layers::make_trunk(context,
                                layers::SmallTrunk{.width = config.width,
                                                   .kernel = config.kernel,
                                                   .stride = config.stride,
                                                   .depth = config.depth,
                                                   .features = config.features.value_or(128),
                                                   .dropout = config.dropout},
                                image);
    case Trunk::resnet18:
      return layers::make_trunk(context, layers::resnet18, image);
    case Trunk::resnet34:
      return layers::make_trunk(context, layers::resnet34, image);
    case Trunk::resnet50:
      return layers::make_trunk(context, layers::resnet50, image);
    case Trunk::iresnet18:
      return make_iresnet(context, layers::iresnet18, config, image);
    case Trunk::iresnet34:
      return make_iresnet(context, layers::iresnet34, config, image);
    case Trunk::iresnet50:
      return make_iresnet(context, layers::iresnet50, config, image);
    case Trunk::iresnet100:
      return make_iresnet(context, layers::iresnet100, config, image);
  }
  core::fail("no such trunk");
}

core::Dtype resolve(Precision precision, core::Device const& device) {
  bool const narrow =
      precision == Precision::bf16 || (precision == Precision::automatic && device.fast_bf16());
  return narrow ? core::Dtype::bf16 : core::Dtype::f32;
}

Model make_model(Experiment const& experiment, core::Device& device, comm::Communicator& ranks,
                 core::ImageShape const& image, int64_t classes) {
  int const shards = experiment.head.shards.value_or(ranks.size());
  if (shards > classes) {
    throw ConfigError(core::join(shards, " ranks, but the number of classes is ", classes,
                                 ": a rank would hold none; start at most ", classes,
                                 ", or set head.shards"));
  }
  if (ranks.size() % shards != 0)
    throw ConfigError(core::join("head.shards: ", shards, " does not divide the ", ranks.size(),
                                 " ranks of this run"));
  auto const context = make_context(experiment, device, ranks);
  Model model{context.dtype, std::make_unique<comm::Mesh>(ranks, shards),
              make_trunk(context, experiment.model, image), nullptr, image};
  int64_t const features = model.trunk->features();
  if (experiment.model.features.value_or(features) != features) {
    throw ConfigError(core::join("model.features: ", *experiment.model.features, ", but the trunk ",
                                 names<Trunk>[static_cast<size_t>(experiment.model.trunk)],
                                 " computes ", features, " features from images of ", image.height,
                                 "x", image.width, "; remove this key, or set it to ", features));
  }
  model.head = make_head(context, experiment, *model.mesh, features, classes);
  return model;
}

}  // namespace train
