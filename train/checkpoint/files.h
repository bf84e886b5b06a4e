#pragma once
#include <filesystem>
#include "train/checkpoint/manifest.h"

/// The files of one checkpoint, and their verification against its manifest.
namespace train {

inline constexpr char const* trunk_file = "trunk.safetensors";

/// File name of a rank's shard: "head-0-of-4.safetensors".
std::string head_file(int rank, int ranks);

/// Writes manifest.json, then flushes it and the folder's entries to the disk.
/// Throws: IoError.
void write_manifest(Manifest const& manifest, std::filesystem::path const& folder);

/// Reads manifest.json.
/// Throws: MissingInput if it does not exist; BadData if it is damaged or belongs to another step;
/// ConfigError if its format version is not supported.
Manifest read_manifest(std::filesystem::path const& folder);

/// Compares size and CRC-32 of a file with the manifest.
/// Throws: BadData if they differ or the manifest does not list the file; MissingInput; IoError.
void verify(Manifest const& manifest, std::filesystem::path const& path);

}  // namespace train
