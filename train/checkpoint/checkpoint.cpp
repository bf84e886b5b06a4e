#include "train/checkpoint/checkpoint.h"
#include <algorithm>
#include <sstream>
#include "core/device.h"
#include "train/checkpoint/files.h"
#include "train/checkpoint/folder.h"
#include "train/checkpoint/on_all_ranks.h"
#include "train/errors.h"

namespace train {
namespace fs = std::filesystem;

namespace {

core::Device& device_of(Snapshot const& state) {
  auto const& some = state.trunk.empty() ? state.head : state.trunk;
  core::check(!some.empty(), "checkpoint: the snapshot has no tensors");
  return some.front().tensor.device();
}

void check_run(Manifest const& manifest, Snapshot const& state, int ranks, fs::path const& folder) {
  auto const same = [&](char const* what, auto const& has, auto const& expected) {
    if (has != expected)
      throw ConfigError(core::join(folder.string(), " belongs to a different run: ", what, ' ', has,
                                   ", expected ", expected));
  };
  same("ranks", manifest.ranks, ranks);
  same("classes", manifest.classes, state.classes);
  same("seed", manifest.seed, state.seed);
}

bool damaged(Outcome const& outcome) {
  return outcome.exit == Exit::bad_data || outcome.exit == Exit::missing_input ||
         outcome.exit == Exit::io;
}

/// Reason to reject a checkpoint: the first rank that found damage, else the first rank with any
/// other error; nullopt if no rank failed.
std::optional<Outcome> refusal(std::vector<Outcome> const& all) {
  auto const first = [&](auto const& which) -> std::optional<Outcome> {
    auto const found = std::find_if(all.begin(), all.end(), which);
    return found == all.end() ? std::nullopt : std::optional(*found);
  };
  auto const damage = first(damaged);
  return damage ? damage : first([](auto const& outcome) { return outcome.exit != Exit::done; });
}

}  // namespace

Checkpoints::Checkpoints(fs::path const& folder, comm::Communicator& ranks, int64_t keep)
    // Appending "" makes the path end with a slash, so parent_path() removes only that slash.
    : folder_(fs::absolute(folder / "").lexically_normal().parent_path()),
      ranks_(ranks),
      keep_(keep) {
  core::check(keep >= 1, "checkpoints: keep is ", keep, "; must be at least 1");
}

std::vector<fs::path> Checkpoints::list() const { return complete_in(folder_); }

void Checkpoints::save(Snapshot const& state, Position const& at) {
  core::check(at.step >= 0, "checkpoints: step must not be negative, got ", at.step);
  auto const name = folder_ / step_name(at.step), partial = partial_of(name);
  auto const on_first = [&](auto const& work) {
    on_all_ranks(ranks_, device_of(state), [&] {
      if (ranks_.rank() == 0) work();
      return std::string();
    });
  };
  try {
    on_first([&] { make_fresh(partial); });
    Manifest manifest{at, state.seed, ranks_.size(), state.classes, state.image, {}};
    auto const files =
        on_all_ranks(ranks_, device_of(state), [&] { return write(state, partial); });
    on_first([&] {
      for (auto const& text : files) manifest.files.merge(parse_files(text));
      write_manifest(manifest, partial);
      give_name(partial, name);
    });
  } catch (IoError const&) {
    std::error_code ignored;  // report the first error
    if (ranks_.rank() == 0) fs::remove_all(partial, ignored);
    throw;
  }
  on_first([&] { prune(at.step); });
}

/// Writes this rank's files and returns their digests as JSON.
std::string Checkpoints::write(Snapshot const& state, fs::path const& partial) const {
  FileDigests files;
  auto const head = head_file(ranks_.rank(), ranks_.size());
  files[head] = write_tensors(partial / head, state.head);
  if (ranks_.rank() == 0) files[trunk_file] = write_tensors(partial / trunk_file, state.trunk);
  return to_text(files);
}

/// Removes all but the last `keep_` checkpoints up to step `newest`, and those of later steps.
void Checkpoints::prune(int64_t newest) const {
  auto all = list();
  auto const passed = std::stable_partition(
      all.begin(), all.end(), [&](fs::path const& folder) { return *step_of(folder) <= newest; });
  std::for_each(passed, all.end(), retire);
  for (auto older = all.begin(); passed - older > keep_; ++older) retire(*older);
}

std::optional<Position> Checkpoints::load(Snapshot& state,
                                          std::function<void(std::string const&)> const& warn,
                                          std::optional<int64_t> step) {
  auto& device = device_of(state);
  std::string reasons;
  for (auto const& folder : newest_first(device)) {
    if (step && step_of(folder) != step) continue;
    Manifest manifest;
    auto const refused = refusal(rank_outcomes(ranks_, device, [&] {
      manifest = inspect(folder, state);
      return std::string();
    }));
    if (!refused) {
      on_all_ranks(ranks_, device, [&] { return read(folder, state); });
      return manifest.at;
    }
    auto const reason = core::join("rank ", refused->rank, ": ", refused->text);
    if (refused->exit == Exit::usage) throw ConfigError(reason);
    if (!damaged(*refused)) throw RunError(refused->exit, reason);
    if (ranks_.rank() == 0) warn("passed over a damaged checkpoint: " + reason);
    reasons += '\n' + reason;
  }
  if (reasons.empty()) return {};
  throw BadData(core::join("all checkpoints in ", folder_.string(), " are damaged:", reasons));
}

/// Checkpoints that rank 0 finds, newest first; broadcast so that all ranks use the same list.
std::vector<fs::path> Checkpoints::newest_first(core::Device& device) const {
  std::istringstream names(on_all_ranks(ranks_, device, [&] {
    std::string text;
    if (ranks_.rank() == 0)
      for (auto const& folder : list()) text.insert(0, folder.filename().string() + '\n');
    return text;
  })[0]);
  std::vector<fs::path> folders;
  for (std::string name; std::getline(names, name);) folders.push_back(folder_ / name);
  return folders;
}

/// Checks this rank's files and returns the manifest.
/// Throws: BadData or MissingInput if a file is damaged or missing; ConfigError if the checkpoint
/// does not match `state`.
Manifest Checkpoints::inspect(fs::path const& folder, Snapshot const& state) const {
  auto manifest = read_manifest(folder);
  check_run(manifest, state, ranks_.size(), folder);
  auto const head = folder / head_file(ranks_.rank(), ranks_.size()), trunk = folder / trunk_file;
  verify(manifest, head);
  verify(manifest, trunk);
  check_fit(SafetensorsReader(head), state.head, state.others);
  check_fit(SafetensorsReader(trunk), state.trunk, state.others);
  return manifest;
}

std::string Checkpoints::read(fs::path const& folder, Snapshot& state) const {
  read_tensors(SafetensorsReader(folder / head_file(ranks_.rank(), ranks_.size())), state.head);
  read_tensors(SafetensorsReader(folder / trunk_file), state.trunk);
  return {};
}

}  // namespace train
