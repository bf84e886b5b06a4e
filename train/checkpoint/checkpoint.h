#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include "comm/communicator.h"
#include "core/image_shape.h"
#include "train/formats/tensor_file.h"

namespace train {

struct Manifest;

/// Where a run stands: the batch to read next, after `step` steps. Random numbers are functions of
/// the seed and this, so it is all the state they have.
struct Position {
  int64_t step = 0;
  int64_t epoch = 0;
  int64_t batch = 0;  ///< within the epoch
  bool operator==(Position const&) const = default;
};

/// All state of a run, by reference: tensors alias the live ones.
struct Snapshot {
  std::vector<NamedTensor> trunk;  ///< the same on every rank: values, statistics, velocities
  std::vector<NamedTensor> head;   ///< this rank's shard
  int64_t classes = 0;
  uint64_t seed = 0;
  core::ImageShape image;  ///< size of the images that enter the trunk
  /// Tensors of a checkpoint that are not listed here: `ignored` to load weights alone.
  Others others = Others::refused;
};

/// Checkpoints of a run: folder/step-00000120/ with trunk.safetensors, head-R-of-P.safetensors for
/// every rank and manifest.json, which names the position and every file with its size and CRC-32.
///
/// A checkpoint is written beside its name, flushed to the disk and renamed, manifest last, so one
/// that carries its name is complete; the newest is found by looking. All ranks call alike.
/// One that is there already is replaced: until the new one has the name, the old one is
/// step-00000120.old, and still counts.
class Checkpoints {
 public:
  /// `keep`: how many to leave, at least 1; older ones go after a newer one is complete. So do
  /// ones of later steps, which a resumed run has passed over.
  Checkpoints(std::filesystem::path const& folder, comm::Communicator& ranks, int64_t keep);

  /// Throws IoError on every rank, naming the rank and file that failed; older checkpoints stay.
  void save(Snapshot const& state, Position const& at);

  /// Loads the newest good checkpoint into the tensors of `state`, and gives its position; nothing
  /// when there is none. One that is damaged (truncated, a wrong checksum) is passed over for the
  /// one before, and `warn` is told, on rank 0. Throws BadData when only damaged ones are left, and
  /// ConfigError when a good one does not fit: another number of ranks or classes, another seed,
  /// tensors missing, unknown or of another shape; nothing is written into `state` then.
  /// With `step`, the checkpoint of that step alone is looked at.
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
