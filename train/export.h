#pragma once
#include <filesystem>
#include <iosfwd>
#include <optional>
#include "train/experiment.h"

namespace train {

struct ExportOptions {
  std::filesystem::path to;     ///< replaced when it is there
  std::optional<int64_t> step;  ///< of the checkpoint; the newest good one otherwise
};

/// colonnade export: writes a checkpoint of the run in experiment.run.out as a state_dict
/// (state_dict.h), master weights in f32: the trunk with its running statistics, and the classifier
/// whole, from the files of however many ranks wrote them. One process does it, and holds the trunk
/// and 64 MiB of the classifier at a time. The file has its name once it is complete.
///
/// Damaged checkpoints are passed over, and `out` is told. Throws MissingInput where there is none,
/// ConfigError when one does not fit the experiment, BadData, IoError.
void export_command(Experiment const& experiment, ExportOptions const& options, std::ostream& out);

}  // namespace train
