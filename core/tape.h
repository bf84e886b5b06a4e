#pragma once
#include <functional>
#include <string>
#include <vector>
#include "core/tensor.h"

namespace core {

/// Kind of a parameter; decides weight decay in optimizers, and is used when files are read and
/// written.
enum class Role {
  weight,
  bias,
  norm,        ///< gain and bias of a normalization layer, slopes of PReLU
  statistics,  ///< running mean and variance: state without a gradient
  fixed,       ///< never updated: a gain fixed at 1, a count that was read from a file
};

/// A trainable tensor, or non-trainable state that is saved with the trainable ones
/// (Role::statistics, Role::fixed). `ready` is called once per step, when backward has computed
/// `grad` completely.
struct Parameter {
  std::string name;  ///< "layer1.0.conv1.weight"
  Role role = Role::weight;
  Tensor value;    ///< master weights: f32 (f64 on the reference path)
  Tensor compute;  ///< tensor that ops read: `value` itself, or its bf16 copy
  Tensor grad;     ///< gradient; shape and dtype of `value`
  std::function<void(Parameter&)> ready;
  /// Ch for a weight (Out, h * w * Ch) that multiplies flattened images; otherwise 0. Needed to
  /// exchange files with programs that flatten channels first.
  int64_t channels = 0;

  bool trainable() const { return role != Role::statistics && role != Role::fixed; }
};

/// A value on a tape: the tensor and the index of its gradient slot; -1 for a constant.
struct Var {
  Tensor value;
  int slot = -1;

  bool requires_grad() const { return slot >= 0; }
};

enum class Mode { training, inference };

/// Seed, step and first sample of a forward pass. Random ops such as dropout derive their random
/// numbers from it.
struct RandomPosition {
  uint64_t seed = 0;
  int64_t step = 0;
  int64_t first_sample = 0;  ///< index of this rank's first row in the global batch
};

/// Records the operations of one forward pass in execution order; backward() runs them in reverse.
/// An inference tape records nothing, so intermediate tensors are freed when they go out of scope.
///
///   Tape tape;
///   Var const x = tape.input(scalar(device, 3));
///   Var const y = relu(tape, add(tape, x, x));
///   tape.backward(y, scalar(device, 1));  // the seed dy/dy
///   Tensor const dx = tape.grad(x);       // (1), f64: 2
///   double slope;
///   device.download(dx, &slope);
class Tape {
 public:
  using Backward = std::function<void(Tensor const& grad)>;

  explicit Tape(Mode mode = Mode::training, RandomPosition position = {})
      : mode_(mode), position_(position) {}

  bool training() const { return mode_ == Mode::training; }
  RandomPosition const& position() const { return position_; }

  /// Returns a variable whose gradient can be read after backward().
  Var input(Tensor value) { return {std::move(value), add_slot()}; }

  /// Returns a variable without a gradient, such as the images of a batch; ops skip its gradient.
  static Var constant(Tensor value) { return {std::move(value)}; }

  /// Returns a variable with the parameter's compute tensor. backward() sets `grad` and then calls
  /// `ready`.
  Var parameter(Parameter& parameter);

  /// Records the result of an operation, and the function that propagates its gradient to the
  /// operation's inputs. `backward` is called at most once, then destroyed with everything it
  /// captured.
  Var record(Tensor value, Backward backward);

  /// Adds `grad` to the gradient of `v`; no effect for a constant. `grad` may share storage with
  /// other tensors, so it is never overwritten.
  void add_grad(Var const& v, Tensor grad);

  /// Removes and returns the gradient accumulated in `v` so far, for an operation that adds its own
  /// gradient to it in place and passes the sum to add_grad. Empty if there is none, if other
  /// tensors share its storage, or for a constant.
  Tensor take_grad(Var const& v);

  /// Returns the gradient accumulated in `v`, which must not be a constant; empty if there is no
  /// gradient.
  Tensor const& grad(Var const& v) const { return grads_[static_cast<size_t>(v.slot)]; }

  /// Runs every recorded backward function once, in reverse order, starting with the gradient
  /// `seed` of `result`. Gradients of inputs stay readable; the gradient of an operation's result
  /// is freed after use.
  /// Throws: Error if this is an inference tape.
  void backward(Var const& result, Tensor seed);

 private:
  struct Step {
    int slot;
    Backward backward;
  };
  int add_slot();

  Mode mode_;
  RandomPosition position_;
  std::vector<Step> steps_;
  std::vector<Tensor> grads_;
};

}  // namespace core
