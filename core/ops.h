#pragma once
#include <functional>
#include "core/kernels.h"
#include "core/tape.h"

/// Differentiable operations. Inputs and results are variables of one Float dtype (f32, f64, bf16);
/// "Acc" is its accumulator type. Each operation records its backward function on the tape. Images
/// are (N, H, W, Ch). N may be 0.
/// Throws: Error if shapes or dtypes do not match; the message starts with the operation's name and
/// contains the shapes.
namespace core {

/// y (N, H', W', Out) = conv(x, w) + bias. w (Out, h, w, Ch / groups) in x's dtype; bias (Out) Acc,
/// or {} for no bias. Saves x and w.
Var conv2d(Tape&, Var const& x, Var const& w, Var const& bias, Window const&, int64_t groups = 1);

/// Running statistics and hyperparameters of one batch normalization layer (Ioffe, Szegedy 2015).
struct BatchNorm {
  /// All-gathers a tensor (...) of every rank of a group to (P, ...). Empty: statistics are
  /// computed from this rank's batch only.
  using Gather = std::function<Tensor(Tensor const&)>;

  Tensor running_mean, running_variance;  ///< (Ch), Acc
  double momentum = 0.1;                  ///< weight of the batch in the update of the running
                                          ///< statistics
  double epsilon = 1e-5;
  Gather gather = {};
};

/// y = act(batch norm(x) * gain + bias [+ residual]); x (..., Ch); gain, bias (Ch) Acc. `slope`
/// (Ch) Acc: of Activation::prelu, which excludes a residual; otherwise empty.
/// Training: uses the statistics of the batch (over all ranks of `gather`) and updates the running
/// statistics. Inference: uses the running statistics. Saves x, and a bit per element with a
/// residual and ReLU.
/// The gradients of gain, bias and slope are this rank's contribution; sum them over ranks like all
/// other gradients.
Var batch_norm(Tape&, Var const& x, Var const& gain, Var const& bias, BatchNorm&,
               Activation = Activation::none, Var const& residual = {}, Var const& slope = {});

/// y = max(x, 0). Saves y.
Var relu(Tape&, Var const& x);

/// z = x + y; x and y have the same shape. Saves nothing.
Var add(Tape&, Var const& x, Var const& y);

/// y (N, H', W', Ch): maximum over each window; padding is never chosen. Saves the index of each
/// maximum (i32).
Var max_pool(Tape&, Var const& x, Window const&);

/// y (N, H', W', Ch): mean over each window; padding counts as zeros. Saves nothing.
Var average_pool(Tape&, Var const& x, Window const&);

/// (N, H, W, Ch) to (N, Ch): mean over the image. Saves nothing.
Var global_average_pool(Tape&, Var const& x);

/// (N, ...) to (N, product of the other sizes); a view. Saves nothing.
Var flatten(Tape&, Var const& x);

/// y (N, Out) = x Wᵀ + bias; x (N, In), w (Out, In), bias (Out) Acc or {}. Saves x and w.
Var linear(Tape&, Var const& x, Var const& w, Var const& bias);

/// Training: sets each element to 0 with `probability` and divides the others by 1 - probability.
/// Inference: returns x. The mask depends only on the tape's seed and step, `layer`, and the
/// sample's index in the global batch. Saves nothing: backward generates the mask again.
/// Throws: Error if `probability` is not in [0, 1) or `layer` is not below 65536.
Var dropout(Tape&, Var const& x, double probability, uint64_t layer);

/// y = x / max(|x|, 1e-12) for each row of x (N, D). Saves y and the norms.
Var l2_normalise(Tape&, Var const& x);

/// y = x converted to another Float dtype; the gradient is converted back. Saves nothing.
Var convert(Tape&, Var const& x, Dtype);

}  // namespace core
