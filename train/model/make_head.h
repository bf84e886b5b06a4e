#pragma once
#include "comm/mesh.h"
#include "layers/head/sharded_head.h"
#include "train/config/experiment.h"

namespace train {

/// Returns the loss function of a head.
layers::HeadLoss head_loss(HeadConfig const& config);

/// Returns which optimizer moments are stored for each weight.
layers::Moments moments_of(OptimizerConfig const& config);

/// Creates the class-sharded head of an experiment and reads the file of head.class_weights, if
/// set. `features`: D. Collective.
/// Throws: MissingInput or IoError if that file cannot be read; BadData if it is damaged or a
/// weight is negative or not finite; ConfigError if its shape does not match the classes.
std::unique_ptr<layers::ShardedHead> make_sharded_head(layers::Context const& context,
                                                       Experiment const& experiment,
                                                       comm::Mesh& mesh, int64_t features,
                                                       int64_t classes);

}  // namespace train
