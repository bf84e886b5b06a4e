#pragma once
#include "train/model/model.h"

namespace train {

/// Initializes the model from init.from, a state_dict (state_dict_reader.h) in f32, f64 or bf16:
/// the trunk and, with init.head: auto, the classifier if the file contains one. Each rank reads
/// only its part of the classifier. num_batches_tracked may be missing. With init.grow_classes the
/// file must contain a classifier, which may have fewer classes than the model: they become the
/// model's first classes, and the others keep their initial weights. Returns a summary for the log.
///
/// Throws: ConfigError with the file and the tensors that are missing, unexpected or of a different
/// shape, in which case the model is unchanged; MissingInput, BadData or IoError if the file cannot
/// be read.
std::string load_weights(Experiment const& experiment, Model& model);

}  // namespace train
