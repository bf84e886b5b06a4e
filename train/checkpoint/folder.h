#pragma once
#include <filesystem>
#include <optional>
#include <vector>

/// The folder of a run's checkpoints: its naming scheme, and operations that leave it valid even if
/// the process is killed at any point.
///
///     step-00000120            complete
///     step-00000120.old        complete, being replaced
///     .step-00000120.partial   being written or removed; not a checkpoint
namespace train {

using Folders = std::vector<std::filesystem::path>;

/// Folder name of a step: "step-00000120".
std::string step_name(int64_t step);

/// Step of a complete checkpoint, from its folder's name; nullopt for any other name.
std::optional<int64_t> step_of(std::filesystem::path const& folder);

/// Complete checkpoints in `parent`, oldest first; empty if `parent` does not exist.
Folders complete_in(std::filesystem::path const& parent);

/// Path under which `folder` is written before it is renamed: ".step-00000120.partial".
std::filesystem::path partial_of(std::filesystem::path const& folder);

/// Creates the empty folder `partial`, and its parents. Removes partial folders that earlier
/// crashes left beside it.
void make_fresh(std::filesystem::path const& partial);

/// Renames a complete folder to its final name and flushes the rename to the disk. Replaces an
/// existing checkpoint; at every moment the old or the new one has a valid name.
void give_name(std::filesystem::path const& partial, std::filesystem::path const& name);

/// Removes a checkpoint. Renames it to its partial name first, so that a partially deleted folder
/// is never mistaken for a checkpoint.
void retire(std::filesystem::path const& folder);

}  // namespace train
