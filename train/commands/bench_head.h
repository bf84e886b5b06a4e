#pragma once
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>
#include "comm/mpi/session.h"
#include "train/config/experiment.h"

namespace train {

/// A classification head alone: random features and labels. The numbers depend on the seed and the
/// sizes, never on the number of ranks.
struct BenchHead {
  int64_t classes = 100'000, features = 512;
  int64_t batch = 64;  ///< of all ranks
  Precision precision = Precision::f32;
  int64_t warm_up = 2, steps = 5;
  uint64_t seed = 1;
  DeviceChoice device = DeviceChoice::automatic;
  std::optional<int> threads;  ///< of a rank; by default the cores of the host, shared out
  std::string check;           ///< file to write instead of measuring
  /// Keys of an experiment, "head.logits=store": its head and optimizer are used. By default SGD
  /// with momentum 0.9, a rate of 0.01 and no decay.
  std::vector<std::string> settings;
};

/// `colonnade bench head`: the time of a step, the memory it takes, and the share of it that the
/// products would take alone, at the rates measured in the same process. The last line written to
/// `out` is the figures as JSON. All ranks call alike; rank 0 writes.
///
/// With `check`, takes the steps and writes a safetensors file for others to repeat them: `x`
/// (B, D), `labels` (B), `weight` (C, D) as they begin; `losses` (steps), the last step's `dx`
/// (B, D), and `updated` (C, D), the weight at the end.
///
/// Throws ConfigError for settings that cannot be, or more ranks than classes; IoError.
void bench_head(BenchHead const& bench, comm::Session& session, std::ostream& out);

}  // namespace train
