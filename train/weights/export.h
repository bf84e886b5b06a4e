#pragma once
#include <filesystem>
#include <iosfwd>
#include <optional>
#include "train/config/experiment.h"

namespace train {

struct ExportOptions {
  std::filesystem::path to;     ///< replaced when it is there
  std::optional<int64_t> step;  ///< of the checkpoint; the newest good one otherwise
  int64_t head_shards = 0;      ///< files beside `to` with the classifier; 0: it is in `to`
};

/// Writes a checkpoint of the run in experiment.run.out as a state_dict
/// (state_dict.h), master weights in f32: the trunk with its running statistics, and the classifier
/// whole, from the files of however many ranks wrote them. One process does it, and holds the trunk
/// and 64 MiB of the classifier at a time. The file has its name once it is complete.
///
/// With head shards, `to` (NAME.safetensors) has the trunk, NAME-0000i-of-0000N.safetensors classes
/// in order and as even as may be, as tensors weight.0000i and bias.0000i of the classifier, and
/// NAME.safetensors.index.json says which tensor is where (state_dict_reader.h). The index is there
/// only while all files are.
///
/// Damaged checkpoints are passed over, and `out` is told. Throws MissingInput where there is none,
/// ConfigError when one does not fit the experiment or there are more head shards than classes,
/// BadData, IoError.
void export_weights(Experiment const& experiment, ExportOptions const& options, std::ostream& out);

}  // namespace train
