#pragma once
#include <string>
#include "comm/metered.h"
#include "train/model/model.h"

namespace train {

/// What the volume of a training step's collectives follows from.
struct StepSizes {
  int64_t ranks = 1;             ///< P
  int64_t batch = 0;             ///< B, over all ranks
  int64_t features = 0;          ///< D
  int64_t feature_bytes = 4;     ///< of one, as it travels
  int64_t classes = 0;           ///< C
  int64_t gradient_bytes = 0;    ///< of the trunk's parameters that are trained
  int64_t statistics_bytes = 0;  ///< of the trunk's running statistics
  int64_t shards = 1;            ///< ranks that hold all classes together
  HeadKind head = HeadKind::softmax;
  bool bias = false;
  bool clipped = false;
  int64_t parts = 1;  ///< of a batch: optimizer.accumulation_steps
  BatchNormKind batch_norm = BatchNormKind::local;
};

/// Of a model in training; the batch is left open.
StepSizes step_sizes(Experiment const& experiment, Model const& model, int ranks);

/// Bytes that one step moves by the formulas of docs/communication.md, summed over the ranks, under
/// the names that its collectives have.
comm::Traffic traffic_by_formula(StepSizes const& sizes);

/// What the collectives of a training's steps move, counted and by formula. What is called between
/// steps (evaluation, checkpoints) is left out.
class StepTraffic {
 public:
  explicit StepTraffic(comm::Communicator& ranks);

  /// The ranks, counted: what the model and its trainer are to use.
  comm::Communicator& ranks() { return metered_; }

  void begin_step() { counted_.go_on(); }
  void end_step(StepSizes const& sizes);
  /// Forgets what was counted: after the first steps, as the phases do.
  void clear();

  struct Row {
    std::string label;
    comm::Collective what;
    int64_t calls;           ///< of a rank
    int64_t sent, received;  ///< bytes, summed over the ranks
    int64_t by_formula;      ///< the same; -1 where there is none
  };
  /// Of all steps since the last clear, the same on every rank. Collective.
  std::vector<Row> rows(core::Device& device) const;

  /// The rows as text: calls a step, and bytes sent a step in the mean over the ranks. Collective.
  std::string table(core::Device& device) const;

 private:
  comm::Communicator& ranks_;
  comm::Traffic counted_, by_formula_;
  comm::Metered metered_;
  int64_t steps_ = 0;
};

}  // namespace train
