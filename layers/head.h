#pragma once
#include "comm/communicator.h"
#include "core/ops.h"

namespace layers {

/// The best classes of each row of a batch, on the host.
struct TopK {
  int64_t rows = 0;
  int k = 0;
  std::vector<int64_t> classes;  ///< (rows, k), best first; equal scores: the lower class first
  std::vector<double> scores;    ///< (rows, k) logits; -inf and class -1 where there are no more

  int64_t at(int64_t row, int place) const { return classes[static_cast<size_t>(row * k + place)]; }
};

/// The SGD rules of one step: weight decay may differ between weights and biases.
struct HeadStep {
  core::SgdStep weight, bias;
};

/// The last layer of a classifier with its loss, split over the ranks.
///
/// It keeps its optimizer state and updates itself inside backward, chunk by chunk, so a step is:
/// set_step, loss, tape.backward. All ranks call alike; a rank may have no rows.
class Head {
 public:
  /// A tensor of this rank's state, for checkpoints: "head.weight", "head.weight.velocity", ...
  struct State {
    std::string name;
    core::Tensor tensor;
  };

  Head() = default;
  virtual ~Head() = default;
  Head(Head const&) = delete;
  Head& operator=(Head const&) = delete;

  virtual int64_t classes() const = 0;
  /// The rule of the next backward.
  virtual void set_step(HeadStep const& step) = 0;

  /// The mean cross-entropy over the global batch, (1), Wide, the same bits on every rank.
  /// x (b, D): this rank's features; labels (b) i64 in [0, classes); counts: b of every rank.
  /// The loss ends a tape: backward's seed is taken as 1. Gradients are of the global mean, so
  /// shares of replicated parameters are summed over ranks, never averaged.
  virtual core::Var loss(core::Tape&, core::Var const& x, core::Tensor const& labels,
                         comm::Counts const& counts) = 0;

  /// The exact best k classes of every row of the global batch, on every rank.
  virtual TopK top_k(core::Tensor const& x, comm::Counts const& counts, int k) = 0;

  virtual std::vector<State> state() = 0;
};

/// These throw Error for what no head can do: no classes or features, a step without a rate, or
/// with momentum without velocities, a batch of other sizes or of no rows at all.
void check_head(int64_t classes, int64_t features);
void check_step(HeadStep const& step, bool momentum);
void check_batch(core::Tensor const& x, core::Tensor const& labels, comm::Counts const& counts,
                 int64_t features, core::Dtype dtype);

/// A linear layer's tensors under the names files call them; those that are empty are left out.
std::vector<Head::State> named_state(core::Tensor const& weight, core::Tensor const& bias,
                                     core::Tensor const& weight_velocity,
                                     core::Tensor const& bias_velocity);

/// The first axis of every rank's `mine` joined, in rank order.
core::Tensor gather_rows(comm::Communicator& ranks, core::Tensor const& mine,
                         comm::Counts const& counts);

/// Joins the ranks' best (B, k) into the best of all, on the host.
TopK merge_top_k(comm::Communicator& ranks, core::Tensor const& scores,
                 core::Tensor const& classes);

}  // namespace layers
