#pragma once
#include "comm/communicator.h"
#include "layers/layer.h"

namespace layers {

/// Keeps the running statistics of local batch norm equal on all ranks: after each step they are
/// averaged over the ranks in one all-reduce. A model can therefore be evaluated, saved and resumed
/// at any step without a special case.
class RunningStatistics {
 public:
  /// Uses the parameters with Role::statistics; others are ignored.
  RunningStatistics(comm::Communicator& ranks, std::vector<core::Parameter*> const& parameters);

  /// Collective. Averages all statistics over the ranks.
  void average();

 private:
  comm::Communicator& ranks_;
  std::vector<core::Parameter*> parameters_;
  core::Tensor packed_;               ///< all values, concatenated
  std::vector<core::Tensor> places_;  ///< views into `packed_`, one per parameter
};

}  // namespace layers
