#pragma once
#include <functional>
#include <optional>
#include "train/checkpoint/manifest.h"

namespace train {

/// A complete checkpoint on the disk.
struct CheckpointFolder {
  std::filesystem::path path;
  Manifest manifest;
};

/// How much of a checkpoint is read to find it good.
enum class Verify {
  manifest,  ///< manifest.json
  files,     ///< every file, against its checksum
};

/// The newest good checkpoint in `folder`, or the one of `step`. `warn` receives a message for each
/// damaged one that is passed over.
/// Throws: MissingInput if there is none, BadData if all are damaged, ConfigError if one has
/// another format.
CheckpointFolder newest_good(std::filesystem::path const& folder, std::optional<int64_t> step,
                             Verify verify, std::function<void(std::string const&)> const& warn);

}  // namespace train
