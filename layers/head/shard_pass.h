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
    /// The gradients of a row are its exponentials times one factor, except for the target: neither
    /// label smoothing nor z-loss. Stored exponentials then take the place of gradients.
    bool plain = false;
  };
  /// A global batch.
  struct Batch {
    core::Tensor x;        ///< (B, D), in the dtype of matrix products
    core::Tensor labels;   ///< (B), numbered like ClassSet::first
    core::Tensor classes;  ///< (B): class of each row, in [0, C), or negative
    core::LogitRule rule;
  };
  /// Gradient of a set's logits, as factors of that of the weights: dW = Gᵀ x, and of the bias: db
  /// = Gᵀ sums.
  struct Gradient {
    core::Columns g;    ///< (B, n), in the products' dtype
    core::Tensor x;     ///< (B, D), in the products' dtype
    core::Tensor sums;  ///< (B, 1), in the products' dtype; empty without a bias
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
  /// Second pass: returns the gradient of the logits of set i, which may be in `buffers`.
  Gradient gradient(size_t i, ClassWeights const& weights, ChunkBuffers& buffers);
  /// Adds G W of all sets to dx (B, D), Acc, as one product; returns false if that is not possible.
  bool add_whole_dx(core::Tensor& dx);
  /// Completes the sum of g W over all sets, for the g of Gradient, to the share of dX.
  void complete_dx(core::Tensor& dx);

 private:
  core::Tensor products(ClassWeights const& weights, ChunkBuffers& buffers) const;
  core::ClassChunk chunk(ClassSet const& set, ClassWeights const& weights) const;
  void begin_first_pass();
  void first_pass(size_t i, core::Tensor& stats, core::Tensor& tiles, ChunkBuffers& buffers);
  void keep(size_t i, ClassWeights const& weights, core::Tensor const& z, core::Tensor& stats,
            core::Tensor& tiles, ChunkBuffers& buffers);
  bool folded() const { return options_.store && options_.plain; }
  bool one_matrix() const;
  int64_t columns() const;
  core::Columns columns(size_t i) const;
  core::Tensor factors() const;
  void align();
  void set_targets();
  void begin_second_pass();
  void convert(size_t i, ClassWeights const& weights);

  ClassShard const& class_rows_;
  Batch batch_;
  std::vector<ClassSet> sets_;
  core::Tensor class_weights_;
  Options options_;
  core::Dtype wide_;
  core::Tensor rows_;
  core::Tensor tiles_;      ///< (T, B, 3): sums of tiles that are not merged, or of all if stored
  core::Tensor reference_;  ///< (B), Acc: reference of exponentials
  core::Tensor dx_;         ///< used if the first pass sums dX

  /// Exponentials, or gradients: one matrix (B, C_r) with padded rows, or one for each set.
  std::vector<core::Tensor> stored_;
  std::vector<bool> converted_;  ///< sets whose exponentials were replaced by gradients
  core::Tensor factors_;         ///< (B), Acc: factors of exponentials
  core::Tensor x_, sums_;        ///< Gradient::x and sums; empty before the second pass
};

}  // namespace layers
