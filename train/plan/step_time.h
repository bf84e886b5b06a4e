#pragma once
#include "train/plan/plan.h"

namespace train {

/// Speed of a machine: arithmetic in FLOP/s, memory and a rank's network in bytes/s; 0: unknown.
struct Rates {
  double flops = 0, memory = 0, network = 0;
};

/// Predicted time of a step in seconds: kernels run one after another, and transfers between ranks
/// one after another beside them. A transfer begins after the kernels before its call, and kernels
/// wait for it where the program does. Unknown rates contribute no time.
struct StepTime {
  /// Transfers under one label.
  struct Network {
    std::string label;
    double seconds;  ///< bytes sent / network
    double waited;   ///< seconds in which no kernel runs
  };

  /// Time of the kernels of each phase. On the CPU each takes the longer of FLOPs / flops and bytes
  /// / memory, which is a bound; on a GPU gpu_kernel_time.
  std::map<std::string, double> phases;
  std::vector<Network> network;  ///< in order of their first call
  double compute = 0;            ///< sum of the phases
  double step = 0;
};

StepTime predicted_time(StepPlan const& plan, Rates const& rates);

}  // namespace train
