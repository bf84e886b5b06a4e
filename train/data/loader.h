#pragma once
#include "comm/communicator.h"
#include "core/tensor.h"
#include "train/data/dataset.h"

namespace train {

/// One rank's share of a global batch, on the host.
struct Batch {
  core::Tensor images;       ///< (b, H, W, Ch) f32, augmented and normalized
  core::Tensor labels;       ///< (b) i64
  comm::Counts counts;       ///< number of rows b of every rank
  int64_t epoch = 0;         ///< epoch of the batch, from 0
  int64_t index = 0;         ///< index of the batch in its epoch
  int64_t first_sample = 0;  ///< index of this rank's first row in the global batch
};

enum class Pass { training, evaluation };

/// Prefetches batches on worker threads. The order of an epoch and every augmentation are functions
/// of (seed, epoch, sample) only; the numbers of ranks and threads do not change the data.
/// Consecutive rows of a batch are assigned to the ranks in order (comm::split_evenly). The last
/// batch of an epoch holds the remaining samples, so a rank may have no rows.
class Loader {
 public:
  /// Starts at batch `first` of `epoch`. Pass::training continues over epochs without end.
  /// Pass::evaluation is one epoch, in the order of the data set and without augmentation.
  /// `host`: CPU device that owns the tensors of the batches.
  /// Throws: ConfigError if data.mean or data.std does not match the channels; core::Error if there
  /// is nothing to train on.
  Loader(core::Device& host, Split const& split, DataConfig const& config, uint64_t seed, Pass pass,
         int rank, int ranks, int64_t epoch = 0, int64_t first = 0);
  ~Loader();
  Loader(Loader const&) = delete;
  Loader& operator=(Loader const&) = delete;

  /// Waits for the next batch and moves it into `batch`. Returns false at the end of an evaluation.
  /// Throws: the error of the worker thread that read the batch.
  bool next(Batch& batch);

  int64_t batches_per_epoch() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace train
