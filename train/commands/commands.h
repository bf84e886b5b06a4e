#pragma once
#include <iosfwd>
#include <optional>
#include <string>
#include "comm/mpi/session.h"
#include "train/evaluation/predict.h"
#include "train/trainer/run.h"

/// What the program's subcommands do once their arguments are read. All ranks call alike; rank 0
/// writes to `out`. Errors are thrown.
namespace train {

struct EvalOptions {
  std::optional<int64_t> step;  ///< of the checkpoint; the newest good one otherwise
  bool baseline = false;        ///< the nearest neighbour on pixels beside it
  std::string picture;          ///< PNG of samples with predictions; empty: none
};

struct PredictCommand {
  std::optional<int64_t> step;  ///< of the checkpoint; the newest good one otherwise
  std::string split;            ///< "train", or one that is evaluated; empty: the only such
  PredictOptions files;
};

/// colonnade train
void train_command(Experiment const& experiment, Existing existing, comm::Session& session,
                   std::ostream& out);

/// colonnade eval: a checkpoint of the run in experiment.run.out on every evaluation split; also
/// written to eval.json there.
void eval_command(Experiment const& experiment, EvalOptions const& options, comm::Session& session,
                  std::ostream& out);

/// colonnade predict: what a checkpoint of the run in experiment.run.out makes of the samples of a
/// split, written to files: predict.h. Throws ConfigError for a split that is not there.
void predict_command(Experiment const& experiment, PredictCommand const& options,
                     comm::Session& session, std::ostream& out);

}  // namespace train
