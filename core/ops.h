#pragma once
#include <functional>
#include "core/kernels.h"
#include "core/tape.h"

/// Differentiable operations. Each takes and gives variables of one Float (f32, f64, bf16), checks
/// shapes (Error names the op and both shapes), and records its backward on the tape.
/// Images are (N, H, W, Ch). N may be 0.
namespace core {

/// y (N, H', W', Out) = conv(x, w) + bias. w (Out, h, w, Ch / groups) in x's dtype; bias (Out)
/// Wide, or {} for none. Saves x and w.
Var conv2d(Tape&, Var const& x, Var const& w, Var const& bias, Window const&, int64_t groups = 1);

enum class Activation { none, relu };

/// Running statistics and rules of one batch normalisation (Ioffe, Szegedy 2015).
struct BatchNorm {
  /// Stacks a tensor of every rank of a group: (...) to (P, ...). Empty: the statistics are this
  /// rank's alone.
  using Gather = std::function<Tensor(Tensor const&)>;

  Tensor running_mean, running_variance;  ///< (Ch), Wide
  double momentum = 0.1;                  ///< share of the batch in the running statistics
  double epsilon = 1e-5;
  Gather gather = {};
};

/// y = act(batch norm(x) * gain + bias [+ residual]); x (..., Ch); gain, bias (Ch) Wide.
/// Training: statistics of the batch (of all ranks that `gather` joins), and the running ones move.
/// Inference: the running ones. Saves x and, with ReLU, y. Gradients of gain and bias are this
/// rank's share: they are summed over ranks with all others.
Var batch_norm(Tape&, Var const& x, Var const& gain, Var const& bias, BatchNorm&,
               Activation = Activation::none, Var const& residual = {});

/// y = max(x, 0). Saves y.
Var relu(Tape&, Var const& x);

/// y = x > 0 ? x : slope[c] x (He et al. 2015); slope (Ch), Wide. Saves x.
Var prelu(Tape&, Var const& x, Var const& slope);

/// z = x + y, of one shape.
Var add(Tape&, Var const& x, Var const& y);

/// Saves the winners' places (i32).
Var max_pool(Tape&, Var const& x, Window const&);

/// Padding counts as zeros in the mean.
Var average_pool(Tape&, Var const& x, Window const&);

/// (N, H, W, Ch) to (N, Ch): the mean over the image.
Var global_average_pool(Tape&, Var const& x);

/// (N, ...) to (N, the rest); a view.
Var flatten(Tape&, Var const& x);

/// y (N, Out) = x Wᵀ + bias; x (N, In), w (Out, In), bias (Out) Wide or {}. Saves x and w.
Var linear(Tape&, Var const& x, Var const& w, Var const& bias);

/// Training: each element is dropped with `probability`, the others divided by 1 - probability.
/// The mask is a function of the tape's moment, `layer` and the sample's place in the global batch.
/// Saves nothing.
Var dropout(Tape&, Var const& x, double probability, uint64_t layer);

/// y = x / max(|x|, 1e-12), row by row; x (N, D). Saves y and the norms.
Var l2_normalise(Tape&, Var const& x);

/// y = x in another Float; the gradient is converted back.
Var convert(Tape&, Var const& x, Dtype);

}  // namespace core
