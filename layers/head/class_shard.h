#pragma once
#include "comm/communicator.h"
#include "layers/head/head.h"
#include "layers/head/options.h"
#include "layers/layer.h"

namespace layers {

/// Some of a rank's classes, as a pass takes them: its rows [begin, end), or those of them that
/// were drawn.
struct ClassSet {
  int64_t begin, end;
  int64_t first;         ///< what a label of the first class is
  int64_t count;         ///< of classes
  core::Tensor sampled;  ///< (count), i64: numbers from `begin`; empty: all rows
  core::Tensor shift;    ///< (count), Wide, added to logits: the log-Q correction; or empty
};

/// A set's weights, ready for products.
struct ClassWeights {
  core::Tensor w;  ///< (count, D), of the products' dtype; of length 1 where products are cosines
  core::Tensor norm;  ///< (count), Wide, of cosines: what they were divided by
  core::Tensor bias;  ///< (count), Wide, or empty; with the set's shift
};

/// The gradient of a set: w (count, D) and bias (count) or empty, Wide.
struct ClassGradient {
  core::Tensor w, bias;
};

/// The classes of this rank: rows [begin, begin + count) of the weight (C, D), dealt by
/// comm::split_evenly, with the optimizer's state. A rank may have one row or none.
class ClassShard {
 public:
  struct Options {
    int64_t classes, features;
    bool bias = false;
    Moments moments = Moments::velocity;
    Storage storage = Storage::f32;
    double init_std = 0.01;  ///< of the initial weights: normal, the same at any number of ranks
    bool cosine = false;
    UnsampledRows unsampled = UnsampledRows::lazy;
  };

  ClassShard(Context const& context, comm::Communicator& ranks, Options const& options);

  int64_t begin() const { return begin_; }
  int64_t count() const { return count_; }  ///< C_r
  size_t bytes_a_class() const;             ///< of weights and state
  core::Device& device() const { return device_; }

  ClassWeights read(ClassSet const& set) const;
  /// The weights (n, D) of `classes` (n), i64, as products read them; zeros where they are not
  /// here.
  core::Tensor read_classes(core::Tensor const& classes) const;

  /// From the gradient in the weights that products read, in place, to that of those kept.
  void to_kept(ClassWeights const& weights, core::Tensor& dw) const;
  /// One step of the set's rows. factor: UpdateRule's.
  void update(HeadStep const& step, core::Tensor const& gradient_scale, ClassSet const& set,
              ClassGradient const& gradient);

  std::vector<Head::State> state() const;

 private:
  core::UpdateState rows_of(core::UpdateState const& whole, int64_t begin, int64_t end) const;
  void update_rows(HeadStep const& step, core::Tensor const& gradient_scale, int64_t first_row,
                   ClassGradient const& gradient, core::UpdateState& weight,
                   core::UpdateState& bias) const;
  void update_sampled(HeadStep const& step, core::Tensor const& gradient_scale, ClassSet const& set,
                      ClassGradient const& gradient);
  core::Tensor kept_rows(ClassSet const& set) const;
  ClassWeights for_products(core::Tensor const& kept) const;

  Options options_;
  core::Device& device_;
  core::Dtype products_;  ///< dtype of the products' inputs
  int64_t begin_, count_;
  core::UpdateState weight_, bias_;
};

}  // namespace layers
