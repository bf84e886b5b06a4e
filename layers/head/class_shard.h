#pragma once
#include "comm/communicator.h"
#include "layers/head/chunk_buffers.h"
#include "layers/head/head.h"
#include "layers/head/options.h"
#include "layers/layer.h"

namespace layers {

/// The classes that one iteration of a pass processes: the rank's rows [begin, end), or the sampled
/// ones among them.
struct ClassSet {
  int64_t begin, end;
  int64_t first;         ///< label of the first class of the set
  int64_t count;         ///< number of classes
  core::Tensor sampled;  ///< (count), i64: sampled classes, offset from `begin`; empty: all rows
  core::Tensor shift;    ///< (count), Acc: the log-Q correction, added to the logits; or empty
};

/// The weights of a set, as matrix products read them.
struct ClassWeights {
  core::Tensor w;     ///< (count, D), in the products' dtype; unit rows if products are cosines
  core::Tensor norm;  ///< (count), Acc: norms of the rows, for cosines
  core::Tensor bias;  ///< (count), Acc: bias and shift of the set; or empty
};

/// Gradient of the weights of a set: w (count, D) and bias (count) or empty, both Acc.
struct ClassGradient {
  core::Tensor w, bias;
};

/// The class weights of this rank with their optimizer state: rows [begin, begin + count) of the
/// weight (C, D), as split by comm::split_evenly. A rank may have no rows. Acc is the accumulator
/// type, math::Accumulator<T>.
class ClassShard {
 public:
  struct Options {
    int64_t classes, features;
    bool bias = false;
    Moments moments = Moments::velocity;
    Storage storage = Storage::f32;
    double init_std = 0.01;  ///< standard deviation of the initial weights
    bool cosine = false;
    UnsampledRows unsampled = UnsampledRows::lazy;
    bool copy = false;  ///< keep a bf16 copy of f32 weights, which products with bf16 inputs read
  };

  /// Initial weights are normal, the same for any number of ranks.
  /// Throws: core::Error for bf16 storage with dtype f64.
  ClassShard(Context const& context, comm::Communicator& ranks, Options const& options);

  int64_t begin() const { return begin_; }
  int64_t count() const { return count_; }  ///< C_r
  /// Bytes of weights, their copy, and optimizer state per class.
  size_t bytes_a_class() const { return bytes_a_class(options_, products_); }
  /// The same for a shard with these options and dtype.
  static size_t bytes_a_class(Options const& options, core::Dtype dtype);
  /// Bytes of a bf16 copy per class; 0 if products need none.
  static size_t copy_bytes(Options const& options, core::Dtype dtype);
  bool has_bias() const { return options_.bias; }
  bool has_copy() const { return static_cast<bool>(weight_.copy); }
  core::Device& device() const { return device_; }

  /// The weights of a set. They may be in `buffers`.
  ClassWeights read(ClassSet const& set, ChunkBuffers& buffers) const;
  /// All weights (C_r, D), if products read them as they are stored; otherwise empty.
  core::Tensor whole() const;
  /// The weights (n, D) of `classes` (n), i64, in the products' dtype; zeros for classes of other
  /// ranks.
  core::Tensor read_classes(core::Tensor const& classes) const;

  /// Converts `dw`, in place, from the gradient with respect to the weights that products read to
  /// that of the stored weights. They differ by the normalization of cosines.
  void to_kept(ClassWeights const& weights, core::Tensor& dw) const;
  /// Performs one optimizer step on the set's rows. `gradient_scale`: see UpdateRule.
  void update(HeadStep const& step, core::Tensor const& gradient_scale, ClassSet const& set,
              ClassGradient const& gradient);

  std::vector<Head::State> state() const;
  void refresh();  ///< Head::refresh

 private:
  core::UpdateState rows_of(core::UpdateState const& whole, int64_t begin, int64_t end) const;
  void update_rows(HeadStep const& step, core::Tensor const& gradient_scale, int64_t first_row,
                   ClassGradient const& gradient, core::UpdateState& weight,
                   core::UpdateState& bias) const;
  void update_sampled(HeadStep const& step, core::Tensor const& gradient_scale, ClassSet const& set,
                      ClassGradient const& gradient);
  core::Tensor kept_rows(ClassSet const& set) const;
  core::Tensor const& read_weight() const { return weight_.copy ? weight_.copy : weight_.w; }
  ClassWeights for_products(core::Tensor const& kept, ChunkBuffers& buffers) const;

  Options options_;
  core::Device& device_;
  core::Dtype products_;  ///< dtype of the inputs of matrix products
  int64_t begin_, count_;
  core::UpdateState weight_, bias_;
};

}  // namespace layers
