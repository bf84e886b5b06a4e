#include "train/model.h"
#include "core/device.h"
#include "layers/row_parallel_head.h"
#include "layers/sharded_head.h"

namespace train {
namespace {

layers::Context context(Experiment const& e, core::Device& device, comm::Communicator& ranks) {
  layers::Context c{device, resolve(e.precision, device), e.seed, {}};
  if (e.model.batch_norm == BatchNormKind::sync && ranks.size() > 1) {
    c.gather = [&ranks](core::Tensor const& mine) {
      core::Shape shape{ranks.size()};
      shape.insert(shape.end(), mine.shape().begin(), mine.shape().end());
      core::Tensor all(mine.device(), shape, mine.dtype());
      ranks.all_gather(mine, all)->wait();
      return all;
    };
  }
  return c;
}

std::unique_ptr<layers::Trunk> make_trunk(layers::Context const& c, ModelConfig const& m,
                                          ImageShape const& image) {
  layers::ImageSize const size{image.height, image.width, image.channels};
  switch (m.trunk) {
    case Trunk::conv:
      return layers::make_trunk(c, layers::ConvTrunk{m.width, m.kernel, m.stride}, size);
    case Trunk::small:
      return layers::make_trunk(c,
                                layers::SmallTrunk{.width = m.width,
                                                   .kernel = m.kernel,
                                                   .stride = m.stride,
                                                   .depth = m.depth,
                                                   .features = m.features > 0 ? m.features : 128,
                                                   .dropout = m.dropout},
                                size);
  }
  core::fail("no such trunk");
}

layers::Logits logits(Logits choice) {
  switch (choice) {
    case Logits::automatic:
      return layers::Logits::automatic;
    case Logits::store:
      return layers::Logits::store;
    case Logits::recompute:
      return layers::Logits::recompute;
  }
  core::fail("no such choice of logits");
}

std::unique_ptr<layers::Head> make_head(layers::Context const& c, Experiment const& e,
                                        comm::Communicator& ranks, int64_t features,
                                        int64_t classes) {
  bool const momentum = e.optimizer.momentum > 0;
  if (e.head.kind == HeadKind::row_parallel) {
    return std::make_unique<layers::RowParallelHead>(
        c, ranks, layers::RowParallelHead::Options{classes, features, e.head.bias, momentum});
  }
  layers::ShardedHead::Options o{.classes = classes, .features = features};
  o.bias = e.head.bias;
  o.momentum = momentum;
  o.chunk = e.head.chunk;
  o.logits = logits(e.head.logits);
  return std::make_unique<layers::ShardedHead>(c, ranks, o);
}

}  // namespace

core::Dtype resolve(Precision precision, core::Device const& device) {
  bool const narrow =
      precision == Precision::bf16 || (precision == Precision::automatic && device.fast_bf16());
  return narrow ? core::Dtype::bf16 : core::Dtype::f32;
}

Model make_model(Experiment const& e, core::Device& device, comm::Communicator& ranks,
                 ImageShape const& image, int64_t classes) {
  if (ranks.size() > classes) {
    throw ConfigError(core::join(ranks.size(), " ranks for ", classes,
                                 " classes: the classifier is ", "split by class; start at most ",
                                 classes, " ranks"));
  }
  auto const c = context(e, device, ranks);
  Model model{c.dtype, make_trunk(c, e.model, image), nullptr};
  int64_t const features = model.trunk->features();
  if (e.model.trunk == Trunk::conv && e.model.features != 0 && e.model.features != features) {
    throw ConfigError(core::join("model.features: ", e.model.features,
                                 ", but the trunk conv leaves ", features, " features of a ",
                                 image.height, "x", image.width,
                                 " image; leave the key out or set it to ", features));
  }
  model.head = make_head(c, e, ranks, features, classes);
  return model;
}

}  // namespace train
