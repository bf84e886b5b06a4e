#include "core/device.h"
#include "core/ops.h"

namespace core {

namespace {

void check_shapes(Tensor const& x, Tensor const& gain, Tensor const& bias, BatchNorm const& norm,
                  Tensor const& residual) {
  check(!x.shape().empty(), "batch_norm: x is a scalar");
  Dtype const wide = accumulator(x.dtype());
  for (Tensor const& t : {gain, bias, norm.running_mean, norm.running_variance})
    check(t.shape() == Shape{x.size(-1)} && t.dtype() == wide, "batch_norm: x of shape ", x.shape(),
          " in ", x.dtype(), " does not match gain, bias or running statistics of shape ",
          t.shape(), " in ", t.dtype());
  check(!residual || (residual.shape() == x.shape() && residual.dtype() == x.dtype()),
        "batch_norm: x of shape ", x.shape(), " does not match residual of shape ",
        residual.shape());
}

/// Returns row r of a (rows, Ch) tensor as a view (Ch).
Tensor row(Tensor const& t, int64_t r) { return t.rows(r, r + 1).reshape({t.size(-1)}); }

/// Returns count, mean and variance (3, Ch) of the batch over all ranks; updates the running
/// statistics.
Tensor batch_moments(Tensor const& x, BatchNorm& norm) {
  Tensor mine(x.device(), {3, x.size(-1)}, accumulator(x.dtype())), merged = empty_like(mine);
  Kernels& kernels = x.device().kernels();
  kernels.batch_statistics(x, mine);
  Tensor const parts = norm.gather ? norm.gather(mine) : mine.reshape({1, 3, x.size(-1)});
  kernels.merge_statistics(parts, norm.momentum, merged, norm.running_mean, norm.running_variance);
  return merged;
}

/// Sums a tensor over ranks, in rank order.
Tensor sum_over_ranks(Tensor const& mine, BatchNorm::Gather const& gather) {
  if (!gather) return mine;
  Tensor const all = gather(mine);
  Tensor sum = empty_like(mine);
  sum.device().kernels().sum_rows(all.reshape({all.size(0), mine.count()}), sum);
  return sum;
}

/// Tensors and parameters saved for backward.
struct Saved {
  Tensor x, y;     // y is empty without ReLU
  Tensor moments;  // over all ranks: count, mean, variance
  double epsilon;
  BatchNorm::Gather gather;
};

void backward(Tape& tape, Saved const& saved, Var const& gain, Var const& bias, Var const& x,
              Var const& residual, Tensor const& dy) {
  Kernels& kernels = dy.device().kernels();
  Tensor sums(dy.device(), {2, dy.size(-1)}, accumulator(dy.dtype()));
  kernels.batch_norm_backward_sums(saved.x, saved.y, dy, row(saved.moments, 1),
                                   row(saved.moments, 2), saved.epsilon, sums);
  Tensor dx = empty_like(dy);
  // Without ReLU the gradient of the residual is dy itself.
  bool const masked = residual.requires_grad() && saved.y;
  Tensor dresidual = masked ? empty_like(dy) : Tensor{};
  kernels.batch_norm_backward(saved.x, saved.y, dy, saved.moments, saved.epsilon, gain.value,
                              sum_over_ranks(sums, saved.gather), dx, dresidual);
  tape.add_grad(residual, masked ? dresidual : dy);
  tape.add_grad(gain, row(sums, 1));
  tape.add_grad(bias, row(sums, 0));
  tape.add_grad(x, dx);
}

}  // namespace

Var batch_norm(Tape& tape, Var const& x, Var const& gain, Var const& bias, BatchNorm& norm,
               Activation activation, Var const& residual) {
  check_shapes(x.value, gain.value, bias.value, norm, residual.value);
  bool const relu = activation == Activation::relu;
  Tensor const moments = tape.training() ? batch_moments(x.value, norm) : Tensor{};
  Tensor y = empty_like(x.value);
  y.device().kernels().batch_norm(x.value, moments ? row(moments, 1) : norm.running_mean,
                                  moments ? row(moments, 2) : norm.running_variance, norm.epsilon,
                                  gain.value, bias.value, residual.value, relu, y);
  Saved const saved{x.value, relu ? y : Tensor{}, moments, norm.epsilon, norm.gather};
  return tape.record(
      y, [&tape, saved, gain, bias, in = Var{{}, x.slot}, shortcut = Var{{}, residual.slot}](
             Tensor const& dy) { backward(tape, saved, gain, bias, in, shortcut, dy); });
}

}  // namespace core
