#pragma once
#include <filesystem>
#include "train/checkpoint/manifest.h"

/// The files of one checkpoint, and whether they are what its manifest says.
namespace train {

inline constexpr char const* trunk_file = "trunk.safetensors";

/// "head-0-of-4.safetensors"
std::string head_file(int rank, int ranks);

/// Writes manifest.json; the folder's files are on the disk when this returns. Throws IoError.
void write_manifest(Manifest const& manifest, std::filesystem::path const& folder);

/// Throws MissingInput or BadData when it is not there or damaged, ConfigError when it is of
/// another format.
Manifest read_manifest(std::filesystem::path const& folder);

/// Throws BadData, or MissingInput, unless the file is what the manifest says.
void verify(Manifest const& manifest, std::filesystem::path const& path);

}  // namespace train
