#pragma once
#include "train/model/model.h"

namespace train {

/// Begins with the weights of init.from, a state_dict of the model (state_dict_reader.h) in f32,
/// f64 or bf16: the trunk, and with init.head: auto the classifier where the file has one, of which
/// each rank reads its part alone. Counts of batches (num_batches_tracked) may be missing. With
/// init.grow_classes the file's classifier, which must be there, may have fewer classes: they are
/// the model's first, and the others stay as the model began. Gives what was taken, in words.
///
/// Throws ConfigError, naming the file and every tensor that is missing, unknown or of another
/// shape; MissingInput, BadData, IoError of reading. Nothing has been changed then unless reading
/// failed.
std::string load_weights(Experiment const& experiment, Model& model);

}  // namespace train
