#pragma once
#include <iosfwd>
#include <optional>
#include <string>
#include "comm/session.h"
#include "train/training.h"

/// What the program's subcommands do once their arguments are read. All ranks call alike; rank 0
/// writes to `out`. Errors are thrown.
namespace train {

struct EvalOptions {
  std::optional<int64_t> step;  ///< of the checkpoint; the newest good one otherwise
  bool baseline = false;        ///< the nearest neighbour on pixels beside it
  std::string picture;          ///< PNG of samples with predictions; empty: none
};

/// colonnade train
void train_command(Experiment const& experiment, Existing existing, comm::Session& session,
                   std::ostream& out);

/// colonnade eval: a checkpoint of the run in experiment.run.out on every evaluation split; also
/// written to eval.json there.
void eval_command(Experiment const& experiment, EvalOptions const& options, comm::Session& session,
                  std::ostream& out);

}  // namespace train
