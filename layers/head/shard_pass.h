#pragma once
#include "layers/head/class_shard.h"

namespace layers {

/// The two passes of one batch over this rank's classes, one set of classes at a time. Unless
/// logits are stored, only those of one set exist at a time. Equations: docs/head.md.
class ShardPass {
 public:
  struct Options {
    bool store = false;     ///< store exponentials between the passes: B × C_r elements
    bool early_dx = false;  ///< the first pass sums dX
  };
  /// A global batch.
  struct Batch {
    core::Tensor x;        ///< (B, D), in the dtype of matrix products
    core::Tensor labels;   ///< (B), numbered like ClassSet::first
    core::Tensor classes;  ///< (B): class of each row, in [0, C), or negative
    core::LogitRule rule;
  };

  /// `rows` must outlive this object. class_weights (C_r), Acc, or empty.
  ShardPass(ClassShard const& rows, Batch batch, std::vector<ClassSet> sets,
            core::Tensor const& class_weights, Options const& options);

  /// First pass: returns the row statistics (B, 6) of this rank's classes (math::RowStatistics).
  core::Tensor statistics();
  /// Between the passes: sets the merged statistics of all ranks, from Kernels::softmax_merge.
  void set_rows(core::Tensor const& rows) { rows_ = rows; }
  /// Returns this rank's share of dX (B, D), Acc, if the first pass has summed it. May be called
  /// once.
  core::Tensor early_dx();

  std::vector<ClassSet> const& sets() const { return sets_; }
  core::Tensor const& x() const { return batch_.x; }
  /// Second pass: returns the gradient G (B, n) of the logits of set i, in the products' dtype.
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
  core::Tensor dx_, reference_;  ///< used if the first pass sums dX
  struct Stored {
    core::Tensor values, reference;  ///< exponentials (B, n) and their reference; gradients
                                     ///< once the reference is empty
  };
  std::vector<Stored> stored_;
};

}  // namespace layers
