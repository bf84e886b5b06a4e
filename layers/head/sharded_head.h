#pragma once
#include <optional>
#include "layers/head/class_sampler.h"
#include "layers/head/head_loss.h"
#include "layers/head/head_sizes.h"
#include "layers/head/shard_pass.h"

namespace layers {

/// Softmax cross-entropy with classes split over ranks (column-parallel), never holding B × C
/// logits.
///
///     layers::ShardedHead head(context, ranks, {.classes = 1000, .features = 32});
///     core::UpdateRule rule{.momentum = 0.9};
///     rule.step_scalars = core::make_step_scalars(device, rule, 0.1, 1);  // learning rate, step
///     head.set_step({rule, rule});                                        // weights, biases
///     core::Tape tape;
///     auto const x = trunk.forward(tape, core::Tape::constant(images));   // (b, 32)
///     auto const loss = head.loss(tape, x, labels, counts);  // labels (b), counts: b per rank
///     tape.backward(loss, one);                              // one (1): seed of the gradient
///     head.finish();
///
/// Forward: features and labels are all-gathered. Each rank processes its classes in chunks and
/// keeps, per row, the maximum, the sum of exponentials and the terms of the target. These
/// statistics are merged over ranks, in rank order. Backward: each rank processes its chunks again,
/// computes the gradient G of the products, accumulates dX = G W, and updates each chunk of W from
/// dW = Gᵀ X immediately, so there is no gradient buffer. dX is reduce-scattered. docs/head.md has
/// the equations and the costs of the options.
///
/// Saved for backward: the gathered features and the merged statistics, and with Logits::store the
/// exponentials.
///
/// Memory: weights and optimizer state of C_r × D elements, the gathered features, and the buffers
/// of one chunk. With bf16, each chunk's weights are rounded before its products; logits are f32
/// and probabilities are rounded to bf16.
class ShardedHead final : public Head {
 public:
  struct Options {
    int64_t classes, features;
    bool bias = false;
    Moments moments = Moments::velocity;
    Storage storage = Storage::f32;
    HeadLoss loss;
    int64_t chunk = 0;  ///< classes per chunk; 0: automatic
    Logits logits = Logits::automatic;
    int64_t memory = 0;  ///< bytes of device memory for the head, by which it decides what to
                         ///< store, the same on every rank; 0: unknown
    /// Keep a bf16 copy of f32 weights for bf16 products of features and weights. Empty: on a GPU,
    /// if the state and the copy need at most half of `memory`.
    std::optional<bool> copy;
    Passes passes = Passes::two;
    StatisticsMerge merge = StatisticsMerge::automatic;
    UnsampledRows unsampled = UnsampledRows::lazy;
    bool log_q = false;  ///< subtract log(sampling probability) from the logits of sampled classes
    double init_std = 0.01;  ///< standard deviation of the initial weights
  };

  /// `ranks` together hold all classes. `replicas`: the ranks that hold the same classes as this
  /// one, for other parts of the batch; null: no replicas. Both must outlive this object.
  /// Throws: core::Error for invalid options.
  ShardedHead(Context const& context, comm::Communicator& ranks, Options const& options,
              comm::Communicator* replicas = nullptr);

  /// Collective. Sets the class weights of the loss, (C_r), Acc.
  /// Throws: core::Error if shape or dtype do not match.
  void set_class_weights(core::Tensor const& weights);

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
  void refresh() override { rows_.refresh(); }

  /// Whether the logits of a batch of this size are stored.
  bool stores(int64_t batch) const;
  int64_t begin() const { return rows_.begin(); }  ///< first class of this rank
  int64_t count() const { return rows_.count(); }  ///< C_r

 private:
  struct Features;  ///< features of the global batch
  using PassPtr = std::shared_ptr<ShardPass>;

  void check_sampling(HeadStep const& step) const;
  HeadSizes sizes() const;
  std::vector<ClassSet> all_sets(int64_t batch, double sampling_rate) const;
  comm::Counts of_this_replica(comm::Counts const& counts) const;
  comm::Counts replica_rows(comm::Counts const& counts) const;
  Features gather(core::Tensor const& x, comm::Counts const& counts);
  core::Tensor target_products(Features const& features, core::Tensor const& labels);
  core::LogitRule logit_rule(Features const& features, core::Tensor const& labels, bool training);
  PassPtr begin_pass(Features const& features, core::Tensor const& labels, bool training);
  core::Tensor mean_loss(ShardPass& pass, core::Tensor const& labels, bool training);
  core::Tensor second_pass(PassPtr const& pass);
  ClassGradient new_gradient(ClassWeights const& weights, ChunkBuffers& buffers) const;
  void add_weight_gradient(ShardPass::Gradient const& gradient, double beta,
                           ClassGradient& sum) const;
  void complete_weight_gradient(ClassWeights const& weights, ClassGradient& sum);
  template <class F>
  void each_waiting_gradient(F const& f);
  core::Tensor scatter(core::Tensor const& dx, Features const& features);

  Options options_;
  core::Device& device_;
  core::Dtype dtype_, wide_;  ///< dtype of the inputs of matrix products, and accumulator type
  uint64_t seed_;
  comm::Communicator& ranks_;
  comm::Communicator* replicas_;
  ClassShard rows_;
  Margins margins_;
  core::Tensor class_weights_;
  double weight_sum_;
  HeadStep step_;
  core::Tensor gradient_scale_, sums_;
  std::vector<PassPtr> waiting_;  ///< batches from which `finish` updates the weights
};

}  // namespace layers
