#pragma once
#include "layers/column_parallel.h"
#include "layers/head.h"

namespace layers {

/// Whether the second pass over the classes finds the logits stored, or computes them again.
enum class Logits {
  automatic,  ///< stored where B × C_r of them take at most 256 MiB
  store,      ///< three products a step, B × C_r numbers
  recompute,  ///< four products, B × chunk numbers
};

/// Softmax cross-entropy over classes split by rank (column-parallel), never holding B × C logits.
///
/// Forward: features and labels are all-gathered; each rank walks its classes in chunks, keeping
/// per row the maximum, the sum of exponentials and the target's logit; ONE all-gather of these,
/// merged in rank order. Backward: each rank walks its chunks again with G = softmax - onehot,
/// accumulates dX = G W, and updates each chunk of W from dW = Gᵀ X at once, so there is no
/// gradient buffer; dX is reduce-scattered. docs/head.md has the arithmetic.
///
/// Memory: weights and, with momentum, velocities of C_r × D f32 numbers, the gathered features,
/// and the chunk's buffers. With bf16 the products read a chunk's weights rounded on the fly;
/// logits stay f32, probabilities are rounded.
class ShardedHead final : public Head {
 public:
  struct Options {
    int64_t classes, features;
    bool bias = false;
    bool momentum = true;  ///< keep velocities; a step with momentum needs them
    int64_t chunk = 0;     ///< classes at a time; 0: automatic
    Logits logits = Logits::automatic;
    double deviation = 0.01;  ///< of the initial weights
  };

  ShardedHead(Context const& context, comm::Communicator& ranks, Options const& options);

  int64_t classes() const override { return options_.classes; }
  void set_step(HeadStep const& step) override;
  core::Var loss(core::Tape& tape, core::Var const& x, core::Tensor const& labels,
                 comm::Counts const& counts) override;
  TopK top_k(core::Tensor const& x, comm::Counts const& counts, int k) override;
  std::vector<State> state() override;

  /// Classes at a time for a global batch of this size.
  int64_t chunk(int64_t batch) const;
  int64_t begin() const { return linear_.begin(); }  ///< first class of this rank
  int64_t count() const { return linear_.count(); }  ///< C_r

 private:
  struct Pass;  ///< what forward leaves for backward
  struct Chunk {
    int64_t begin, end;  ///< rows of this rank's weight
  };
  std::vector<Chunk> chunks(int64_t batch) const;
  bool stores(int64_t batch) const;
  core::Tensor weights(Chunk const& chunk);
  core::Tensor bias(Chunk const& chunk);
  core::Tensor logits(core::Tensor const& x, core::Tensor const& w);
  void statistics(Pass& pass);
  core::Tensor backward(Pass& pass);
  void update(Chunk const& chunk, core::Tensor const& g, core::Tensor const& x);
  core::Tensor scatter(core::Tensor const& dx, comm::Counts const& counts);

  Options options_;
  core::Dtype dtype_;  ///< of the products' inputs
  int64_t cache_bytes_;
  comm::Communicator& ranks_;
  ColumnParallelLinear linear_;
  core::Tensor velocity_, bias_velocity_;
  HeadStep step_;
};

}  // namespace layers
