#pragma once
#include "comm/communicator.h"
#include "layers/layer.h"

namespace layers {

enum class GatherOutput { no, yes };

/// A linear layer split by output (Megatron-LM's ColumnParallelLinear): rank r holds rows [begin,
/// begin + count) of the weight (out, in), as split by comm::split_evenly. A rank may have no rows.
///
/// y = x Wᵀ + b, for an x (N, in) that is the same on every rank. The output is this rank's columns
/// (N, count), or with GatherOutput::yes all columns (N, out) on every rank, for a small `out` and
/// for comparisons. A loss over many classes should use the sharded output (layers/head/head.h).
/// Backward all-reduces dx. Initial weights are normal with standard deviation `init_std`, the same
/// for any number of ranks.
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
  comm::Counts counts_;  ///< number of outputs per rank
  GatherOutput gather_output_;
  core::Parameter weight_, bias_;
};

/// Concatenates the columns of all ranks: x (N, n of each rank) to (N, sum of n), on every rank.
core::Tensor gather_columns(comm::Communicator& ranks, core::Tensor const& mine,
                            comm::Counts const& counts);

/// Copies columns [begin, begin + count) of x (N, n) to a new tensor.
core::Tensor take_columns(core::Tensor const& x, int64_t begin, int64_t count);

/// The input x, the same on every rank, of a computation that is split over ranks. Backward sums
/// its gradient over ranks.
core::Var sum_gradient(core::Tape& tape, comm::Communicator& ranks, core::Var const& x);

}  // namespace layers
