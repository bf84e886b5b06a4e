#include "train/model/model.h"
#include "core/device.h"
#include "layers/head/row_parallel_head.h"
#include "train/config/fields.h"
#include "train/model/make_head.h"

namespace train {
namespace {

layers::Context context(Experiment const& e, core::Device& device, comm::Communicator& ranks) {
  layers::Context c{device, resolve(e.precision, device), e.seed, {}};
  if (e.model.batch_norm == BatchNormKind::sync && ranks.size() > 1) {
    c.gather = [&ranks = ranks.named("batch norm")](core::Tensor const& mine) {
      core::Shape shape{ranks.size()};
      shape.insert(shape.end(), mine.shape().begin(), mine.shape().end());
      core::Tensor all(mine.device(), shape, mine.dtype());
      ranks.all_gather(mine, all)->wait();
      return all;
    };
  }
  return c;
}

std::unique_ptr<layers::Head> make_head(layers::Context const& c, Experiment const& e,
                                        comm::Mesh& mesh, int64_t features, int64_t classes) {
  if (e.head.kind == HeadKind::row_parallel) {
    return std::make_unique<layers::RowParallelHead>(
        c, mesh.world(),
        layers::RowParallelHead::Options{classes, features, e.head.bias, e.optimizer.momentum > 0});
  }
  return make_sharded_head(c, e, mesh, features, classes);
}

std::unique_ptr<layers::Trunk> make_iresnet(layers::Context const& c, layers::IresnetTrunk shape,
                                            ModelConfig const& m, core::ImageShape const& image) {
  shape.features = m.features.value_or(shape.features);
  shape.dropout = m.dropout;
  return layers::make_trunk(c, shape, image);
}

}  // namespace

std::unique_ptr<layers::Trunk> make_trunk(layers::Context const& c, ModelConfig const& m,
                                          core::ImageShape const& image) {
  switch (m.trunk) {
    case Trunk::conv:
      return layers::make_trunk(c, layers::ConvTrunk{m.width, m.kernel, m.stride}, image);
    case Trunk::small:
      return layers::make_trunk(c,
                                layers::SmallTrunk{.width = m.width,
                                                   .kernel = m.kernel,
                                                   .stride = m.stride,
                                                   .depth = m.depth,
                                                   .features = m.features.value_or(128),
                                                   .dropout = m.dropout},
                                image);
    case Trunk::resnet18:
      return layers::make_trunk(c, layers::resnet18, image);
    case Trunk::resnet34:
      return layers::make_trunk(c, layers::resnet34, image);
    case Trunk::resnet50:
      return layers::make_trunk(c, layers::resnet50, image);
    case Trunk::iresnet18:
      return make_iresnet(c, layers::iresnet18, m, image);
    case Trunk::iresnet34:
      return make_iresnet(c, layers::iresnet34, m, image);
    case Trunk::iresnet50:
      return make_iresnet(c, layers::iresnet50, m, image);
    case Trunk::iresnet100:
      return make_iresnet(c, layers::iresnet100, m, image);
  }
  core::fail("no such trunk");
}

core::Dtype resolve(Precision precision, core::Device const& device) {
  bool const narrow =
      precision == Precision::bf16 || (precision == Precision::automatic && device.fast_bf16());
  return narrow ? core::Dtype::bf16 : core::Dtype::f32;
}

Model make_model(Experiment const& e, core::Device& device, comm::Communicator& ranks,
                 core::ImageShape const& image, int64_t classes) {
  int const shards = e.head.shards.value_or(ranks.size());
  if (shards > classes) {
    throw ConfigError(core::join(shards, " ranks for ", classes,
                                 " classes: the classifier is split by class; start at most ",
                                 classes, " ranks, or set head.shards"));
  }
  if (ranks.size() % shards != 0)
    throw ConfigError(core::join("head.shards: ", shards, " does not divide the ", ranks.size(),
                                 " ranks of this run"));
  auto const c = context(e, device, ranks);
  Model model{c.dtype, std::make_unique<comm::Mesh>(ranks, shards), make_trunk(c, e.model, image),
              nullptr, image};
  int64_t const features = model.trunk->features();
  if (e.model.features.value_or(features) != features) {
    throw ConfigError(core::join("model.features: ", *e.model.features, ", but the trunk ",
                                 names<Trunk>[static_cast<size_t>(e.model.trunk)], " leaves ",
                                 features, " features of a ", image.height, "x", image.width,
                                 " image; leave the key out or set it to ", features));
  }
  model.head = make_head(c, e, *model.mesh, features, classes);
  return model;
}

}  // namespace train
