#pragma once
#include <map>
#include <string>
#include "train/checkpoint/checkpoint.h"
#include "train/formats/file.h"

namespace train {

/// Expected size and CRC-32 of each file of a checkpoint, by file name.
using FileDigests = std::map<std::string, Digest>;

/// Contents of manifest.json.
struct Manifest {
  Position at;  ///< progress of the run when the checkpoint was written
  uint64_t seed = 0;
  int64_t ranks = 0;
  int64_t classes = 0;
  core::ImageShape image;
  FileDigests files;
};

/// Converts a manifest to JSON. The JSON includes a checksum of its own contents, so that damage to
/// the manifest itself is detected.
std::string to_text(Manifest const& manifest);

/// Parses a manifest. `path` appears in error messages.
/// Throws: BadData if the text is damaged; ConfigError if its format version is not supported.
Manifest parse_manifest(std::string const& text, std::string const& path);

/// JSON of the files of one rank, a part of the manifest.
std::string to_text(FileDigests const& files);
FileDigests parse_files(std::string const& text);

}  // namespace train
