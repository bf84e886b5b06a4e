#pragma once
#include "comm/communicator.h"
#include "core/tensor.h"
#include "train/data/dataset.h"

namespace train {

/// One rank's share of a global batch, on the host.
struct Batch {
  core::Tensor images;       ///< (b, H, W, Ch) f32, augmented and normalised
  core::Tensor labels;       ///< (b) i64
  comm::Counts counts;       ///< b of every rank
  int64_t epoch = 0;         ///< from 0
  int64_t index = 0;         ///< of the batch in its epoch
  int64_t first_sample = 0;  ///< place of this rank's first row in the global batch
};

enum class Pass { training, evaluation };

/// Reads batches ahead on threads of its own. The order of an epoch, and every augmentation, are
/// functions of (seed, epoch, sample) alone: the ranks and threads change who reads a sample, not
/// what is read. A batch's rows are dealt to the ranks in order (comm::split_evenly); the last
/// batch of an epoch is whatever remains, so a rank may get none.
class Loader {
 public:
  /// Begins at batch `first` of `epoch` and goes on for ever in training; one epoch, in the set's
  /// order and without augmentation, in evaluation. `host`: the device that host tensors live on.
  Loader(core::Device& host, Split const& split, DataConfig const& config, uint64_t seed, Pass pass,
         int rank, int ranks, int64_t epoch = 0, int64_t first = 0);
  ~Loader();
  Loader(Loader const&) = delete;
  Loader& operator=(Loader const&) = delete;

  /// The next batch; waits for it. False at the end of an evaluation. Rethrows what a thread threw.
  bool next(Batch& batch);

  int64_t batches_per_epoch() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace train
