#pragma once
#include "comm/mesh.h"
#include "layers/head/sharded_head.h"
#include "train/config/experiment.h"

namespace train {

/// The loss that an experiment's head has.
layers::HeadLoss head_loss(HeadConfig const& config);

/// What an experiment's optimizer keeps beside the weights.
layers::Moments moments_of(OptimizerConfig const& config);

/// The class-sharded head of an experiment. Collective; reads the file of head.class_weights.
/// Throws MissingInput, BadData or ConfigError for a file that does not fit.
std::unique_ptr<layers::ShardedHead> make_sharded_head(layers::Context const& context,
                                                       Experiment const& experiment,
                                                       comm::Mesh& mesh, int64_t features,
                                                       int64_t classes);

}  // namespace train
