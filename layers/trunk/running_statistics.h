#pragma once
#include "comm/communicator.h"
#include "layers/layer.h"

namespace layers {

/// Keeps running statistics the same on every rank where batch norm is local: after each step, all
/// of them are averaged over the ranks in one all-reduce. So a model can be evaluated, saved and
/// resumed at any step without a special case.
class RunningStatistics {
 public:
  /// Takes the parameters whose role is statistics; the others are ignored.
  RunningStatistics(comm::Communicator& ranks, std::vector<core::Parameter*> const& parameters);

  void average();

 private:
  comm::Communicator& ranks_;
  std::vector<core::Parameter*> parameters_;
  core::Tensor packed_;               ///< all values, one after another
  std::vector<core::Tensor> places_;  ///< views into it, one a parameter
};

}  // namespace layers
