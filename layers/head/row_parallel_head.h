#pragma once
#include "layers/head/head.h"
#include "layers/head/row_parallel.h"

namespace layers {

/// Softmax cross-entropy over a RowParallelLinear: the split by input features, for comparison.
/// Every rank holds all B × C logits and computes the same loss from them. Backward updates the
/// rank's columns as soon as their gradient is ready, unless the step is deferred.
class RowParallelHead final : public Head {
 public:
  struct Options {
    int64_t classes, features;
    bool bias = false;
    bool momentum = true;  ///< store velocities
  };

  RowParallelHead(Context const& context, comm::Communicator& ranks, Options const& options);

  int64_t classes() const override { return options_.classes; }
  std::string describe(int64_t batch) const override;
  int64_t chunk(int64_t /*batch*/) const override { return options_.classes; }
  void set_step(HeadStep const& step) override;
  core::Var loss(core::Tape& tape, core::Var const& x, core::Tensor const& labels,
                 comm::Counts const& counts) override;
  core::Tensor gradient_scale() override { return gradient_scale_; }
  void add_gradient_squared_norm(core::Tensor& sum) override;
  void finish() override;
  TopK top_k(core::Tensor const& x, comm::Counts const& counts, int k) override;
  std::vector<State> state() override;

 private:
  void begin_update(core::Parameter& parameter, core::UpdateState& state);
  void update(core::Parameter& p);
  core::Tensor logits(core::Tensor const& x, comm::Counts const& counts);
  core::Var gather(core::Tape& tape, core::Var const& x, comm::Counts const& counts);

  Options options_;
  core::Dtype dtype_;
  comm::Communicator& ranks_;
  RowParallelLinear linear_;
  core::UpdateState weight_, bias_;
  core::Tensor gradient_scale_;
  HeadStep step_;
};

}  // namespace layers
