#pragma once
#include "comm/communicator.h"
#include "layers/layer.h"

namespace layers {

/// A linear layer split by input (Megatron-LM's RowParallelLinear): rank r holds columns [begin,
/// begin + count) of the weight (out, in). The partial products are all-reduced.
///
/// y = x Wᵀ + b, for an x (N, in) that is the same on every rank; each rank uses its columns of x.
/// y (N, out) and dx are complete on every rank. Every rank has the whole bias. Exact, but every
/// rank holds all N × out outputs, and the all-reduce moves them: docs/head.md has the costs.
/// Initial weights are those of ColumnParallelLinear, the same for any number of ranks.
class RowParallelLinear final : public Layer {
 public:
  struct Options {
    int64_t in, out;
    bool bias = false;
    double init_std = 0.01;
  };

  RowParallelLinear(Context const& context, comm::Communicator& ranks, std::string const& name,
                    Options const& options);

  core::Var forward(core::Tape& tape, core::Var const& x) override;
  void visit_parameters(Visit const& visit) override;

  core::Parameter& weight() { return weight_; }  ///< (out, count)
  core::Parameter& bias() { return bias_; }      ///< (out), or no value
  int64_t begin() const { return comm::begin_of(counts_, ranks_.rank()); }
  int64_t count() const { return counts_[static_cast<size_t>(ranks_.rank())]; }

  /// Collective. Returns the whole weight (out, in) on every rank, for comparison with the unsplit
  /// layer.
  core::Tensor whole_weight() const;

 private:
  core::Var take(core::Tape& tape, core::Var const& x);
  core::Var sum(core::Tape& tape, core::Var const& partial);

  comm::Communicator& ranks_;
  comm::Counts counts_;  ///< number of inputs per rank
  core::Parameter weight_, bias_;
};

}  // namespace layers
