#pragma once
#include <functional>
#include <string>
#include <vector>
#include "core/tensor.h"

namespace core {

/// What a parameter is, for optimizers (weight decay) and files.
enum class Role {
  weight,
  bias,
  norm,        ///< gain and bias of a normalisation, slopes of PReLU
  statistics,  ///< running mean and variance: state without a gradient
  fixed,       ///< never changed: a gain held at 1, a count that a file brought along
};

/// A trainable tensor, or state that lives and is saved with them (Role::statistics, fixed).
/// `ready` runs once a step, when backward has added the last share of `grad`.
struct Parameter {
  std::string name;  ///< "layer1.0.conv1.weight"
  Role role = Role::weight;
  Tensor value;    ///< master weights: f32 (f64 on the reference path)
  Tensor compute;  ///< what the ops read: `value` itself, or its bf16 copy
  Tensor grad;     ///< like `value`
  std::function<void(Parameter&)> ready;
  /// Of a weight (Out, h * w * Ch) that multiplies flattened images: Ch; otherwise 0. Files of
  /// other programs flatten channels first.
  int64_t channels = 0;

  bool trainable() const { return role != Role::statistics && role != Role::fixed; }
};

/// A value on a tape: the tensor and the number of its gradient slot, -1 for a constant.
struct Var {
  Tensor value;
  int slot = -1;

  bool requires_grad() const { return slot >= 0; }
};

enum class Mode { training, inference };

/// Which samples of which step a forward pass works on: what random ops key their numbers by.
struct RandomPosition {
  uint64_t seed = 0;
  int64_t step = 0;
  int64_t first_sample = 0;  ///< place of this rank's first row in the global batch
};

/// The operations of one forward pass, in the order they ran; backward walks them in reverse.
/// An inference tape records nothing, so intermediate tensors are freed as they go out of use.
class Tape {
 public:
  using Backward = std::function<void(Tensor const& grad)>;

  explicit Tape(Mode mode = Mode::training, RandomPosition position = {})
      : mode_(mode), position_(position) {}

  bool training() const { return mode_ == Mode::training; }
  RandomPosition const& position() const { return position_; }

  /// A value whose gradient can be read after backward.
  Var input(Tensor value) { return {std::move(value), add_slot()}; }

  /// A value without a gradient, as the images of a batch: ops need not compute one.
  static Var constant(Tensor value) { return {std::move(value)}; }

  /// The parameter's compute copy; `grad` and `ready` follow in backward.
  Var parameter(Parameter& parameter);

  /// Records an operation's result and how its gradient flows on. `backward` runs at most once; it
  /// is dropped, with all it holds, right after.
  Var record(Tensor value, Backward backward);

  /// Adds one share of the gradient of `v`; nothing for a constant. The tensor may be shared, so it
  /// is never written.
  void add_grad(Var const& v, Tensor grad);

  /// The gradient that has reached `v`, no constant; empty when none has.
  Tensor const& grad(Var const& v) const { return grads_[static_cast<size_t>(v.slot)]; }

  /// Runs every recorded backward once, last first. Gradients of inputs stay readable; an
  /// operation's is freed once it has been used.
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
