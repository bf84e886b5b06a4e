#include "train/checkpoint/newest.h"
#include <algorithm>
#include "core/check.h"
#include "train/checkpoint/files.h"
#include "train/checkpoint/folder.h"
#include "train/errors.h"

namespace train {
namespace fs = std::filesystem;

CheckpointFolder newest_good(fs::path const& folder, std::optional<int64_t> step, Verify how,
                             std::function<void(std::string const&)> const& warn) {
  auto all = complete_in(folder);
  std::ranges::reverse(all);
  std::string damaged;
  for (auto const& checkpoint : all) {
    if (step && step_of(checkpoint) != step) continue;
    try {
      auto const manifest = read_manifest(checkpoint);
      if (how == Verify::files)
        for (auto const& [name, digest] : manifest.files) verify(manifest, checkpoint / name);
      return {checkpoint, manifest};
    } catch (ConfigError const&) {
      throw;
    } catch (RunError const& error) {
      warn(core::join("passed over a damaged checkpoint: ", error.what()));
      damaged += core::join('\n', error.what());
    }
  }
  if (!damaged.empty())
    throw BadData(core::join("all checkpoints in ", folder.string(), " are damaged:", damaged));
  if (step) throw MissingInput(core::join(folder.string(), " has no checkpoint of step ", *step));
  throw MissingInput(folder.string() + " has no complete checkpoint; train first");
}

}  // namespace train
