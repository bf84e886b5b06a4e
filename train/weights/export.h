#pragma once
#include <filesystem>
#include <iosfwd>
#include <optional>
#include "train/config/experiment.h"

namespace train {

struct ExportOptions {
  std::filesystem::path to;     ///< output file; replaced if it exists
  std::optional<int64_t> step;  ///< step of the checkpoint; default: the newest intact one
  int64_t head_shards = 0;      ///< number of extra files for the classifier; 0: stored in `to`
};

/// Writes a checkpoint of the run in experiment.run.out as a
/// state_dict (state_dict.h) with f32 master weights: the trunk with its running statistics, and
/// the whole classifier, merged from the files of any number of ranks. Runs in one process, whose
/// memory holds the trunk and 64 MiB of the classifier. Output files are renamed to their final
/// names only when they are complete.
///
/// With head shards, `to` (NAME.safetensors) contains the trunk. NAME-0000i-of-0000N.safetensors
/// contain consecutive classes, split evenly, as tensors weight.0000i and bias.0000i of the
/// classifier. NAME.safetensors.index.json maps tensors to files (state_dict_reader.h); it exists
/// only while all files are complete.
///
/// Damaged checkpoints are skipped with a message on `out`.
/// Throws: MissingInput if there is no checkpoint; ConfigError if the checkpoint does not match the
/// experiment or there are more head shards than classes; BadData if all checkpoints are damaged;
/// IoError.
void export_weights(Experiment const& experiment, ExportOptions const& options, std::ostream& out);

}  // namespace train
