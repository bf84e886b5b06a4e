#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include "comm/communicator.h"
#include "core/image_shape.h"
#include "train/formats/tensor_file.h"

namespace train {

struct Manifest;

/// Progress of a run: the next batch to read, after `step` steps. Random numbers are functions of
/// the seed and the position, so no generator state is saved.
struct Position {
  int64_t step = 0;
  int64_t epoch = 0;
  int64_t batch = 0;  ///< within the epoch
  bool operator==(Position const&) const = default;
};

/// All state of a run, by reference: the tensors alias those of the model and the optimizer.
struct Snapshot {
  std::vector<NamedTensor> trunk;  ///< identical on every rank: values, statistics, velocities
  std::vector<NamedTensor> head;   ///< this rank's shard
  int64_t classes = 0;
  uint64_t seed = 0;
  core::ImageShape image;  ///< size of the images that enter the trunk
  /// Tensors of a checkpoint that are not listed here: `ignored` to load weights alone.
  Others others = Others::refused;
};

/// Checkpoints of a run: folder/step-00000120/ with trunk.safetensors, head-R-of-P.safetensors for
/// every rank R, and manifest.json, which contains the position and the size and CRC-32 of every
/// file.
///
/// `save` writes into a temporary folder, manifest last, flushes it to the disk and renames it. A
/// folder with a checkpoint's name is therefore complete, and the newest checkpoint is the folder
/// with the highest step. An existing checkpoint of the same step is replaced: it is renamed to
/// step-00000120.old, which `load` still accepts, until the new one has its name.
///
/// `save` and `load` are collective: every rank must call them.
class Checkpoints {
 public:
  /// `keep`: number of checkpoints to keep, at least 1. After each `save`, older checkpoints are
  /// removed, and so are those of later steps, which a resumed run has skipped as damaged.
  Checkpoints(std::filesystem::path const& folder, comm::Communicator& ranks, int64_t keep);

  /// Writes a checkpoint, then removes those beyond `keep`.
  /// Throws: IoError on every rank, with the rank and file that failed; older checkpoints are kept.
  void save(Snapshot const& state, Position const& at);

  /// Loads the newest intact checkpoint into the tensors of `state` and returns its position, or
  /// nullopt if there is no checkpoint. Damaged checkpoints (truncated, wrong checksum) are
  /// skipped; rank 0 calls `warn` for each. With `step`, only the checkpoint of that step is
  /// considered.
  /// Throws: BadData if all checkpoints are damaged; ConfigError if an intact one does not match
  /// the run: different number of ranks or classes, different seed, tensors missing, unexpected or
  /// of a different shape. In both cases `state` is unchanged.
  std::optional<Position> load(Snapshot& state, std::function<void(std::string const&)> const& warn,
                               std::optional<int64_t> step = {});

  /// Complete checkpoints, oldest first.
  std::vector<std::filesystem::path> list() const;

 private:
  std::string write(Snapshot const& state, std::filesystem::path const& partial) const;
  void prune(int64_t newest) const;
  std::vector<std::filesystem::path> newest_first(core::Device& device) const;
  Manifest inspect(std::filesystem::path const& folder, Snapshot const& state) const;
  std::string read(std::filesystem::path const& folder, Snapshot& state) const;

  std::filesystem::path folder_;
  comm::Communicator& ranks_;
  int64_t keep_;
};

}  // namespace train
