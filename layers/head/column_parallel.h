#pragma once
#include "comm/communicator.h"
#include "layers/layer.h"

namespace layers {

enum class GatherOutput { no, yes };

/// A linear layer split by its outputs: rank r holds rows [begin, begin + count) of the weight
/// (out, in), dealt by comm::split_evenly; a rank may hold one row or none.
///
/// y = x Wᵀ + b, for an x (N, in) that is the same on every rank. The result is the rank's columns
/// (N, count), or with GatherOutput::yes all of them on every rank: N × out numbers, for a small
/// `out` and for comparison; a loss over many classes belongs with the shard (layers/head.h).
/// Backward all-reduces dx. Weights start normal with the deviation given, the same numbers for
/// any number of ranks.
class ColumnParallelLinear final : public Layer {
 public:
  struct Options {
    int64_t in, out;
    bool bias = false;
    double init_std = 0.01;
    GatherOutput gather_output = GatherOutput::no;
  };

  ColumnParallelLinear(Context const& context, comm::Communicator& ranks, std::string const& name,
                       Options const& options);

  core::Var forward(core::Tape& tape, core::Var const& x) override;
  void visit_parameters(Visit const& visit) override;

  int64_t begin() const { return comm::begin_of(counts_, ranks_.rank()); }
  int64_t count() const { return counts_[static_cast<size_t>(ranks_.rank())]; }
  core::Parameter& weight() { return weight_; }  ///< (count, in)
  core::Parameter& bias() { return bias_; }      ///< (count), or no value

 private:
  core::Var gather(core::Tape& tape, core::Var const& mine);

  comm::Communicator& ranks_;
  comm::Counts counts_;  ///< outputs of each rank
  GatherOutput gather_output_;
  core::Parameter weight_, bias_;
};

/// x (N, n of each rank) to (N, sum of n) on every rank, the ranks' columns side by side.
core::Tensor gather_columns(comm::Communicator& ranks, core::Tensor const& mine,
                            comm::Counts const& counts);

/// Columns [begin, begin + count) of x (N, n) as a tensor of their own.
core::Tensor take_columns(core::Tensor const& x, int64_t begin, int64_t count);

/// The same x on every rank as input of a computation that is split over them: the gradient is the
/// sum of the ranks' shares.
core::Var sum_gradient(core::Tape& tape, comm::Communicator& ranks, core::Var const& x);

}  // namespace layers
