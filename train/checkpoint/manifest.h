#pragma once
#include <map>
#include <string>
#include "train/checkpoint/checkpoint.h"
#include "train/formats/file.h"

namespace train {

/// Names within a checkpoint, with what they must hold.
using FileDigests = std::map<std::string, Digest>;

/// What manifest.json says of its checkpoint.
struct Manifest {
  Position at;
  uint64_t seed = 0;
  int64_t ranks = 0;
  int64_t classes = 0;
  core::ImageShape image;
  FileDigests files;
};

/// JSON, with a checksum over its own contents: a flipped bit in it is found as in any other file.
std::string to_text(Manifest const& manifest);

/// Throws BadData, naming `path`, when the text is damaged; ConfigError when it is whole and of
/// another format.
Manifest parse_manifest(std::string const& text, std::string const& path);

/// The same for a part of it, one rank's files.
std::string to_text(FileDigests const& files);
FileDigests parse_files(std::string const& text);

}  // namespace train
