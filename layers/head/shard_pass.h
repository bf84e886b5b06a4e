#pragma once
#include "layers/head/class_shard.h"

namespace layers {

/// One batch on its way over this rank's classes, a set at a time, with no more logits alive than a
/// set's unless they are stored. docs/head.md has the arithmetic.
class ShardPass {
 public:
  struct Options {
    bool store = false;     ///< keep exponentials between the passes: B × C_r numbers
    bool early_dx = false;  ///< the first pass sums dX
  };
  /// All of a global batch.
  struct Batch {
    core::Tensor x;        ///< (B, D), as products read it
    core::Tensor labels;   ///< (B), as ClassSet::first counts them
    core::Tensor classes;  ///< (B): the class of each row, in [0, C), or negative
    core::LogitRule rule;
  };

  /// `rows` outlives this. class_weights (C_r), Wide, or empty.
  ShardPass(ClassShard const& rows, Batch batch, std::vector<ClassSet> sets,
            core::Tensor const& class_weights, Options const& options);

  /// The first pass: stats (B, 6), of this rank's classes.
  core::Tensor statistics();
  /// Between the passes: what all ranks' statistics came to, Kernels::softmax_merge's.
  void set_rows(core::Tensor const& rows) { rows_ = rows; }
  /// This rank's share of dX (B, D), Wide, where the first pass has summed it. Once.
  core::Tensor early_dx();

  std::vector<ClassSet> const& sets() const { return sets_; }
  core::Tensor const& x() const { return batch_.x; }
  /// G (B, n) of set i, in the products' dtype.
  core::Tensor gradient(size_t i, ClassWeights const& weights);

 private:
  core::Tensor products(ClassWeights const& weights) const;
  core::ClassChunk chunk(ClassSet const& set, ClassWeights const& weights) const;
  void keep(size_t i, ClassWeights const& weights, core::Tensor const& z, core::Tensor& stats);

  ClassShard const& class_rows_;
  Batch batch_;
  std::vector<ClassSet> sets_;
  core::Tensor class_weights_;
  Options options_;
  core::Dtype wide_;
  core::Tensor rows_;
  core::Tensor dx_, reference_;  ///< of the first pass, where it sums dX
  struct Stored {
    core::Tensor values, reference;  ///< exponentials (B, n) and what they are measured from;
                                     ///< gradients, once there is no reference
  };
  std::vector<Stored> stored_;
};

}  // namespace layers
