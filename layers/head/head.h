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

/// Which arrays the optimizer keeps beside weights and biases.
enum class Moments {
  none,
  velocity,  ///< SGD with momentum
  both,      ///< Adam's
};

/// How the head takes one step. Weight decay may differ between weights and biases.
struct HeadStep {
  core::UpdateRule weight, bias;  ///< `gradient_scale` is the head's own: Head::gradient_scale
  double trust_coefficient = 0;   ///< LARS' trust coefficient, for each class by itself; 0: none
  int64_t number = 1;             ///< of the step: keys the draw of classes
  double sampling_rate = 1;       ///< share of the classes that the softmax is over
  /// The update waits for `finish`: the gradient's norm is asked for, or several batches make a
  /// step.
  bool deferred = false;
  /// Several losses make this step: gradients are those of the sum over samples, and `factor`
  /// divides by their weight. Needs `deferred`.
  bool summed = false;
};

/// The last layer of a classifier with its loss, split over the ranks.
///
/// It keeps its optimizer state and updates itself chunk by chunk, with no gradient buffer. A step
/// is: set_step, loss, tape.backward, finish. All ranks call alike; a rank may have no rows.
///
/// Rows with a negative label do not count: not in the mean, and with a gradient of 0. A step whose
/// loss is not finite changes nothing, on every rank: `factor` is 0, and the gradient of the
/// features then holds anything.
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
  /// For people: how it goes about a global batch of this size.
  virtual std::string describe(int64_t batch) const = 0;
  /// Classes that one product covers for a batch of this size: all of them where the head does not
  /// take them in chunks.
  virtual int64_t chunk(int64_t batch) const = 0;
  /// The rule of the next step.
  virtual void set_step(HeadStep const& step) = 0;

  /// The mean loss over the global batch, (1), Wide, the same bits on every rank; of all batches so
  /// far, where several make the step. x (b, D): this rank's features; labels (b) i64 below
  /// `classes`; counts: b of every rank. The loss ends a tape: backward's seed is taken as 1.
  /// Gradients are of the global mean, so shares of replicated parameters are summed over ranks,
  /// never averaged.
  virtual core::Var loss(core::Tape&, core::Var const& x, core::Tensor const& labels,
                         comm::Counts const& counts) = 0;

  /// What the gradients of this step are multiplied with, in the head and elsewhere: (1), f64, of
  /// the head, which `loss` sets to 0 where the loss is not finite, to 1 otherwise, or to what
  /// HeadStep::summed says. It may be made smaller before `finish`.
  virtual core::Tensor gradient_scale() = 0;
  /// sum (1), f64 += the squared norm of the head's gradient, of all ranks. For deferred steps,
  /// after backward and before `finish`.
  virtual void add_gradient_squared_norm(core::Tensor& sum) = 0;
  /// Does what is left of the step after backward.
  virtual void finish() = 0;

  /// The exact best k classes of every row of the global batch, on every rank.
  virtual TopK top_k(core::Tensor const& x, comm::Counts const& counts, int k) = 0;

  virtual std::vector<State> state() = 0;
};

/// These throw Error for what no head can do: no classes or features, a batch of other sizes or of
/// no rows at all, several losses of a step that is not deferred.
void check_head(int64_t classes, int64_t features);
void check_batch(core::Tensor const& x, core::Tensor const& labels, comm::Counts const& counts,
                 int64_t features, core::Dtype dtype);
void check_deferred(HeadStep const& step);
/// Throws Error for rules without their numbers, or whose state is not what is kept.
void check_rules(HeadStep const& step, Moments kept);

/// Weights and biases with what the optimizer keeps, under the names files call them; those that
/// are empty are left out.
std::vector<Head::State> named_state(core::UpdateState const& weight,
                                     core::UpdateState const& bias);

/// The first axis of every rank's `mine` joined, in rank order.
core::Tensor gather_rows(comm::Communicator& ranks, core::Tensor const& mine,
                         comm::Counts const& counts);

/// Joins the ranks' best (B, k) into the best of all, on the host.
TopK merge_top_k(comm::Communicator& ranks, core::Tensor const& scores,
                 core::Tensor const& classes);

/// The rows of all replicas, each with its part of the batch, in their order. `device`: of tensors
/// that `replicas` can send. counts: rows of each replica.
TopK join_top_k(comm::Communicator& replicas, core::Device& device, TopK const& mine,
                comm::Counts const& counts);

}  // namespace layers
