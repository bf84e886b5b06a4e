#pragma once
#include <filesystem>
#include <optional>
#include <vector>

/// The folder that holds a run's checkpoints: which names count, and changes of it that are safe
/// whenever the process ends.
///
///     step-00000120            complete
///     step-00000120.old        complete, being replaced
///     .step-00000120.partial   being written or removed; never counts
namespace train {

using Folders = std::vector<std::filesystem::path>;

/// "step-00000120"
std::string step_name(int64_t step);

/// The step of a folder whose name counts; nothing for other names.
std::optional<int64_t> step_of(std::filesystem::path const& folder);

/// Those in `parent` that count, oldest first; none when there is no such folder.
Folders complete_in(std::filesystem::path const& parent);

/// Where `folder` is written before it gets its name.
std::filesystem::path partial_of(std::filesystem::path const& folder);

/// An empty folder to write into; what earlier crashes left beside it goes.
void make_fresh(std::filesystem::path const& partial);

/// Gives a complete folder its name, on the disk. At every moment either it or the one that had
/// the name has one that counts.
void give_name(std::filesystem::path const& partial, std::filesystem::path const& name);

/// Removes a checkpoint. It loses its name first: half of one never counts.
void retire(std::filesystem::path const& folder);

}  // namespace train
