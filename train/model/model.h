#pragma once
#include "comm/mesh.h"
#include "core/image_shape.h"
#include "layers/head/head.h"
#include "layers/trunk/trunk.h"
#include "train/config/experiment.h"

namespace train {

/// A network as an experiment describes it: the replicated trunk and the sharded head.
struct Model {
  core::Dtype dtype;                 ///< of activations: f32 or bf16
  std::unique_ptr<comm::Mesh> mesh;  ///< the head's: which ranks hold which classes
  std::unique_ptr<layers::Trunk> trunk;
  std::unique_ptr<layers::Head> head;
  core::ImageShape image = {};  ///< of what enters
};

/// What `precision` means on a device: auto is bf16 where it is fast.
core::Dtype resolve(Precision precision, core::Device const& device);

/// The trunk alone.
std::unique_ptr<layers::Trunk> make_trunk(layers::Context const& context, ModelConfig const& config,
                                          core::ImageShape const& image);

/// Builds the network for images of `image` and `classes` classes. Weights are functions of the
/// seed alone. Throws ConfigError when the sizes do not fit together, or there are more ranks than
/// classes.
Model make_model(Experiment const& experiment, core::Device& device, comm::Communicator& ranks,
                 core::ImageShape const& image, int64_t classes);

}  // namespace train
