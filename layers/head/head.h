#pragma once
#include "comm/communicator.h"
#include "core/ops.h"

namespace layers {

/// The k best classes of each row of a batch, in host memory.
struct TopK {
  int64_t rows = 0;
  int k = 0;
  std::vector<int64_t> classes;  ///< (rows, k), best first; equal scores: lower class first
  std::vector<double> scores;    ///< (rows, k) logits; -inf and class -1 past the last class

  int64_t at(int64_t row, int place) const { return classes[static_cast<size_t>(row * k + place)]; }
};

/// Optimizer state stored with weights and biases.
enum class Moments {
  none,
  velocity,  ///< SGD with momentum
  both,      ///< first and second moment of Adam
};

/// Parameters of one training step of a head. Weight decay may differ between weights and biases.
struct HeadStep {
  core::UpdateRule weight, bias;  ///< `gradient_scale` is ignored; the head uses its own
  double trust_coefficient = 0;   ///< trust coefficient of LARS, applied per class; 0: no LARS
  int64_t number = 1;             ///< number of the step; seeds class sampling
  double sampling_rate = 1;       ///< sampling probability of classes that are not in the batch
  /// Defer the update to `finish`. Required if the norm of the gradient is used, or if several
  /// batches make up a step.
  bool deferred = false;
  /// Gradient accumulation: several losses make up this step. Gradients are those of the sum over
  /// samples, and `gradient_scale` divides them by the total weight. Requires `deferred`.
  bool summed = false;
};

/// The last layer of a classifier and its loss, split over ranks.
///
/// A head owns its optimizer state and updates its weights chunk by chunk, without a gradient
/// buffer. A step is: set_step, loss, tape.backward, finish. All ranks make the same calls in the
/// same order; a rank may have no samples or no classes.
///
/// Rows with a negative label are ignored: they are not in the mean, and their gradient is 0. A
/// step whose loss is not finite changes nothing, on any rank: `gradient_scale` is then 0, and the
/// gradient of the features is unspecified. Acc is the accumulator type of the head's dtype,
/// math::Accumulator<T>.
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
  /// Human-readable summary of the strategy for a global batch of this size.
  virtual std::string describe(int64_t batch) const = 0;
  /// Classes per matrix product for a batch of this size; all classes if the head does not split
  /// them into chunks.
  virtual int64_t chunk(int64_t batch) const = 0;
  /// Sets the parameters of the next step.
  /// Throws: core::Error if `step` is invalid, not supported by the head, or needs optimizer state
  /// that it does not store.
  virtual void set_step(HeadStep const& step) = 0;

  /// Returns the mean loss over the global batch, (1), Acc, with the same bits on every rank. If
  /// several batches make up the step, it is the mean over all batches so far.
  ///
  /// x (b, D): features of this rank's samples. labels (b), i64, less than `classes`; negative:
  /// ignored. counts: b of every rank. The loss must be the end of a tape: the seed of backward is
  /// taken as 1. Gradients are those of the global mean, so gradients of replicated parameters must
  /// be summed over ranks, not averaged.
  /// Throws: core::Error if shapes or dtypes do not match, or if the global batch is empty.
  virtual core::Var loss(core::Tape&, core::Var const& x, core::Tensor const& labels,
                         comm::Counts const& counts) = 0;

  /// Factor by which all gradients of this step must be multiplied, in the head and in the rest of
  /// the network: (1), f64. `loss` sets it to 1, to 0 if the loss is not finite, or to the divisor
  /// of HeadStep::summed. May be reduced before `finish`, for gradient clipping.
  virtual core::Tensor gradient_scale() = 0;
  /// Adds the squared norm of the head's gradient, over all ranks, to `sum` (1), f64. For deferred
  /// steps, after backward and before `finish`.
  virtual void add_gradient_squared_norm(core::Tensor& sum) = 0;
  /// Completes the step after backward: applies deferred weight updates.
  virtual void finish() = 0;

  /// Returns the exact k best classes of every row of the global batch, on every rank.
  /// Throws: core::Error unless k is positive.
  virtual TopK top_k(core::Tensor const& x, comm::Counts const& counts, int k) = 0;

  /// The tensors to save. They share storage with the head.
  virtual std::vector<State> state() = 0;
  /// Updates what the head derives from these tensors, after they were written directly.
  virtual void refresh() {}
};

/// Checks that apply to every head.
/// Throws: core::Error for zero classes or features, a batch of wrong shape or dtype or without
/// rows, and for HeadStep::summed without `deferred`.
void check_head(int64_t classes, int64_t features);
void check_batch(core::Tensor const& x, core::Tensor const& labels, comm::Counts const& counts,
                 int64_t features, core::Dtype dtype);
void check_deferred(HeadStep const& step);
/// Checks the update rules of a step.
/// Throws: core::Error if step_scalars is missing, or if the rule does not match the stored
/// optimizer state, `kept`.
void check_rules(HeadStep const& step, Moments kept);

/// Lists weights and biases with their optimizer state, under the names used in checkpoints. Empty
/// tensors are omitted.
std::vector<Head::State> named_state(core::UpdateState const& weight,
                                     core::UpdateState const& bias);

/// Concatenates the rows of all ranks, in rank order.
core::Tensor gather_rows(comm::Communicator& ranks, core::Tensor const& mine,
                         comm::Counts const& counts);

/// Splits the rows of `mine` (B, ...) into blocks, and sends each rank the block of its number.
/// Returns the blocks that this rank receives from all ranks: (P, blocks[rank], ...).
core::Tensor exchange_blocks(comm::Communicator& ranks, core::Tensor const& mine,
                             comm::Counts const& blocks);

/// Merges the k best classes (B, k) of each rank into the k best overall, in host memory. Each rank
/// merges a block of rows.
TopK merge_top_k(comm::Communicator& ranks, core::Tensor const& scores,
                 core::Tensor const& classes);

/// Concatenates the results of all ranks, each for its part of the batch, in rank order. `device`:
/// a device whose tensors `ranks` can send. counts: rows of each rank.
TopK join_top_k(comm::Communicator& ranks, core::Device& device, TopK const& mine,
                comm::Counts const& counts);

}  // namespace layers
