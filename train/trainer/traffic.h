#pragma once
#include <string>
#include "comm/metered.h"
#include "train/model/model.h"

namespace train {

/// Sizes that determine the bytes moved by the collectives of a training step.
struct StepSizes {
  int64_t ranks = 1;             ///< P
  int64_t batch = 0;             ///< B, samples of the step over all ranks
  int64_t features = 0;          ///< D
  int64_t feature_bytes = 4;     ///< bytes of one feature when sent
  int64_t classes = 0;           ///< C
  int64_t gradient_bytes = 0;    ///< bytes of the gradients of the trunk's parameters
  int64_t statistics_bytes = 0;  ///< bytes of the trunk's running statistics
  int64_t shards = 1;            ///< ranks that the classes are split over
  HeadKind head = HeadKind::softmax;
  bool bias = false;
  bool clipped = false;
  int64_t parts = 1;  ///< micro-batches per step: optimizer.accumulation_steps
  BatchNormKind batch_norm = BatchNormKind::local;
};

/// Returns the sizes for a model in training; `batch` is not set.
StepSizes step_sizes(Experiment const& experiment, Model const& model, int ranks);

/// Returns the bytes that one step moves by the formulas of docs/communication.md, summed over the
/// ranks, under the labels of its collectives.
comm::Traffic traffic_by_formula(StepSizes const& sizes);

/// Bytes moved by the collectives of training steps, measured and by formula. Collectives between
/// steps (evaluation, checkpoints) are not counted.
class StepTraffic {
 public:
  explicit StepTraffic(comm::Communicator& ranks);

  /// The measured communicator. The model and its trainer must use it.
  comm::Communicator& ranks() { return metered_; }

  void begin_step() { counted_.go_on(); }
  void end_step(StepSizes const& sizes);
  /// Resets all counts, to exclude warm-up steps.
  void clear();

  struct Row {
    std::string label;
    comm::Collective what;
    int64_t calls;           ///< calls per rank
    int64_t sent, received;  ///< bytes, summed over the ranks
    int64_t by_formula;      ///< bytes sent by formula; -1 if there is no formula
  };
  /// Returns the traffic of all steps since the last `clear`, the same on every rank. Collective.
  std::vector<Row> rows(core::Device& device) const;

  /// Returns the rows as a table: calls per step, and bytes sent per step, averaged over the ranks.
  /// Collective.
  std::string table(core::Device& device) const;

 private:
  comm::Communicator& ranks_;
  comm::Traffic counted_, by_formula_;
  comm::Metered metered_;
  int64_t steps_ = 0;
};

}  // namespace train
