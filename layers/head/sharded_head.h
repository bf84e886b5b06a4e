#pragma once
#include "layers/head/class_sampler.h"
#include "layers/head/head_loss.h"
#include "layers/head/shard_pass.h"

namespace layers {

/// Softmax cross-entropy over classes split by rank (column-parallel), never holding B × C logits.
///
/// Forward: features and labels are all-gathered; each rank walks its classes in chunks, keeping
/// per row the maximum, the sum of exponentials and what the target has; ONE all-gather of these,
/// merged in rank order. Backward: each rank walks its chunks again with the gradient G in the
/// products, accumulates dX = G W, and updates each chunk of W from dW = Gᵀ X at once, so there is
/// no gradient buffer; dX is reduce-scattered. docs/head.md has the arithmetic, and what the
/// options cost.
///
/// Memory: weights and optimizer state of C_r × D numbers, the gathered features, and the chunk's
/// buffers. With bf16 the products read a chunk's weights rounded on the fly; logits are f32,
/// probabilities are rounded.
class ShardedHead final : public Head {
 public:
  struct Options {
    int64_t classes, features;
    bool bias = false;
    Moments moments = Moments::velocity;
    Storage storage = Storage::f32;
    HeadLoss loss;
    int64_t chunk = 0;  ///< classes at a time; 0: automatic
    Logits logits = Logits::automatic;
    int64_t memory = 0;  ///< bytes this rank may use, for the automatic choice; 0: not known
    Passes passes = Passes::two;
    UnsampledRows unsampled = UnsampledRows::lazy;
    bool log_q = false;      ///< drawn classes' logits get -log of their chance to be drawn
    double init_std = 0.01;  ///< of the initial weights
  };

  /// `ranks` hold all classes together. `replicas`: those that hold the same classes as this one,
  /// for other parts of the batch; none: this one alone.
  ShardedHead(Context const& context, comm::Communicator& ranks, Options const& options,
              comm::Communicator* replicas = nullptr);

  /// Weights of this rank's classes in the loss, (C_r), Wide. Collective.
  void set_class_weights(core::Tensor const& weights);

  /// Numbers that each rank sends for each row of the batch: see `loss`.
  static constexpr int64_t row_statistics = core::math::RowStatistics::count;

  int64_t classes() const override { return options_.classes; }
  std::string describe(int64_t batch) const override;
  int64_t chunk(int64_t batch) const override;
  void set_step(HeadStep const& step) override;
  core::Var loss(core::Tape& tape, core::Var const& x, core::Tensor const& labels,
                 comm::Counts const& counts) override;
  core::Tensor gradient_scale() override { return gradient_scale_; }
  void add_gradient_squared_norm(core::Tensor& sum) override;
  void finish() override;
  TopK top_k(core::Tensor const& x, comm::Counts const& counts, int k) override;
  std::vector<State> state() override;

  /// Whether logits of a batch of this size are stored.
  bool stores(int64_t batch) const;
  int64_t begin() const { return rows_.begin(); }  ///< first class of this rank
  int64_t count() const { return rows_.count(); }  ///< C_r

 private:
  struct Features;  ///< of the global batch
  struct Storing {
    int64_t bytes, share, room;
  };
  using PassPtr = std::shared_ptr<ShardPass>;
  struct Share {
    PassPtr pass;
    core::Tensor g;
  };

  void check_sampling(HeadStep const& step) const;
  Storing storing(int64_t batch) const;
  std::vector<ClassSet> all_sets(int64_t batch, double sampling_rate) const;
  comm::Counts of_this_replica(comm::Counts const& counts) const;
  comm::Counts replica_rows(comm::Counts const& counts) const;
  Features gather(core::Tensor const& x, comm::Counts const& counts);
  core::Tensor target_products(Features const& features, core::Tensor const& labels);
  core::LogitRule logit_rule(Features const& features, core::Tensor const& labels, bool training);
  PassPtr begin_pass(Features const& features, core::Tensor const& labels, bool training);
  core::Tensor mean_loss(ShardPass& pass, core::Tensor const& labels, bool training);
  core::Tensor second_pass(PassPtr const& pass);
  ClassGradient weight_gradient(std::vector<Share> const& shares, ClassWeights const& weights);
  void add_bias_gradient(core::Tensor const& g, core::Tensor& sum) const;
  template <class F>
  void each_waiting_gradient(F const& f);
  core::Tensor scatter(core::Tensor const& dx, Features const& features);

  Options options_;
  core::Device& device_;
  core::Dtype dtype_, wide_;  ///< of the products' inputs, and of sums
  uint64_t seed_;
  comm::Communicator& ranks_;
  comm::Communicator* replicas_;
  ClassShard rows_;
  Margins margins_;
  core::Tensor class_weights_;
  double weight_sum_;
  HeadStep step_;
  core::Tensor gradient_scale_, sums_;
  std::vector<PassPtr> waiting_;  ///< batches that `finish` updates the weights from
};

}  // namespace layers
