#pragma once
#include "comm/mesh.h"
#include "core/image_shape.h"
#include "layers/head/head.h"
#include "layers/trunk/trunk.h"
#include "train/config/experiment.h"

namespace train {

/// The network of an experiment: a replicated trunk and a sharded head.
struct Model {
  core::Dtype dtype;                 ///< dtype of activations: f32 or bf16
  std::unique_ptr<comm::Mesh> mesh;  ///< groups of ranks of the head: shards and replicas
  std::unique_ptr<layers::Trunk> trunk;
  std::unique_ptr<layers::Head> head;
  core::ImageShape image = {};  ///< shape of the input images
};

/// Returns the dtype of activations for `precision` on a device. `auto` is bf16 where it is fast.
core::Dtype resolve(Precision precision, core::Device const& device);

/// Builds the trunk of a model.
std::unique_ptr<layers::Trunk> make_trunk(layers::Context const& context, ModelConfig const& config,
                                          core::ImageShape const& image);

/// Builds the network for images of shape `image` and `classes` classes. Initial weights depend
/// only on the seed. Collective.
/// Throws: ConfigError if sizes do not match, or if there are more shards than classes.
Model make_model(Experiment const& experiment, core::Device& device, comm::Communicator& ranks,
                 core::ImageShape const& image, int64_t classes);

}  // namespace train
