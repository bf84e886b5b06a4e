#pragma once
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>
#include "comm/mpi/session.h"
#include "train/config/experiment.h"

namespace train {

/// Options of the benchmark of a classification head, with random features and labels. Its results
/// depend on the seed and the sizes, not on the number of ranks.
struct BenchHead {
  int64_t classes = 100'000, features = 512;
  int64_t batch = 64;  ///< B, samples over all ranks
  Precision precision = Precision::f32;
  int64_t warm_up = 2, steps = 5;
  uint64_t seed = 1;
  DeviceChoice device = DeviceChoice::automatic;
  std::optional<int> threads;  ///< compute threads of a rank; default: its share of the cores
  std::string check;           ///< file for the results of the steps; if set, nothing is measured
  /// Settings for the keys `head` and `optimizer` of an experiment: "head.logits=store". Default:
  /// SGD with learning rate 0.01, momentum 0.9 and no weight decay.
  std::vector<std::string> settings;
};

/// `colonnade bench head`: measures the time and memory of a step, and the fraction of the step
/// that its matrix products would take at the rates they reach alone, measured in the same process.
/// The last line of `out` is the results as JSON. Collective; rank 0 writes.
///
/// If `check` is set, runs the steps and writes a safetensors file with which other implementations
/// can repeat them: `x` (B, D), `labels` (B) and the initial `weight` (C, D); `losses` (steps),
/// `dx` (B, D) of the last step, and `updated` (C, D), the final weights.
///
/// Throws: ConfigError if settings are invalid or there are more ranks than classes; IoError if a
/// file cannot be written.
void bench_head(BenchHead const& bench, comm::Session& session, std::ostream& out);

}  // namespace train
