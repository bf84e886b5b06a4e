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

void check_slope(Tensor const& x, Activation activation, Tensor const& slope, bool residual) {
  bool const prelu = activation == Activation::prelu;
  check(prelu == bool(slope), "batch_norm: slopes are those of PReLU; it must have them, ",
        "and other activations must not");
  check(!prelu || (slope.shape() == Shape{x.size(-1)} && slope.dtype() == accumulator(x.dtype())),
        "batch_norm: x of shape ", x.shape(), " in ", x.dtype(), " does not match slope of shape ",
        slope.shape(), " in ", slope.dtype());
  check(!prelu || !residual, "batch_norm: PReLU after a residual is not supported");
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
  Normalization norm;
  Tensor x, count;  // count: over all ranks
  Tensor signs;     // of a ReLU after a residual; otherwise empty
  BatchNorm::Gather gather;
};

/// Inputs whose gradients backward computes.
struct Inputs {
  Var x, gain, bias, residual, slope;
};

void backward(Tape& tape, Saved const& saved, Inputs const& in, Tensor const& dy) {
  Kernels& kernels = dy.device().kernels();
  Normalization const& norm = saved.norm;
  int64_t const quantities = norm.slope ? 3 : 2;
  Tensor sums(dy.device(), {quantities, dy.size(-1)}, accumulator(dy.dtype()));
  kernels.batch_norm_backward_sums(norm, saved.x, saved.signs, dy, sums);
  // Without an activation the gradient of the residual is dy itself.
  Tensor dresidual = saved.signs ? empty_like(dy) : Tensor{}, dx = tape.take_grad(in.x);
  Store const store = dx ? Store::add : Store::replace;
  if (!dx) dx = empty_like(dy);
  kernels.batch_norm_backward(norm, saved.x, saved.signs, dy, saved.count,
                              sum_over_ranks(sums.rows(0, 2), saved.gather), store, dx, dresidual);
  tape.add_grad(in.residual, dresidual ? dresidual : dy);
  tape.add_grad(in.gain, row(sums, 1));
  tape.add_grad(in.bias, row(sums, 0));
  if (norm.slope) tape.add_grad(in.slope, row(sums, 2));
  tape.add_grad(in.x, dx);
}

/// Returns a variable without its value: what backward needs of an input that it does not read.
Var without_value(Var const& v) { return {{}, v.slot}; }

}  // namespace

Var batch_norm(Tape& tape, Var const& x, Var const& gain, Var const& bias, BatchNorm& norm,
               Activation activation, Var const& residual, Var const& slope) {
  check_shapes(x.value, gain.value, bias.value, norm, residual.value);
  check_slope(x.value, activation, slope.value, bool(residual.value));
  Tensor const moments = tape.training() ? batch_moments(x.value, norm) : Tensor{};
  Normalization const how{moments ? row(moments, 1) : norm.running_mean,
                          moments ? row(moments, 2) : norm.running_variance,
                          norm.epsilon,
                          gain.value,
                          bias.value,
                          activation,
                          slope.value};
  Tensor y = empty_like(x.value), signs;
  if (tape.training() && residual.value && activation == Activation::relu)
    signs = Tensor(y.device(), signs_shape(y.shape()), Dtype::u8);
  y.device().kernels().batch_norm(how, x.value, residual.value, y, signs);
  Saved const saved{how, x.value, moments ? row(moments, 0) : Tensor{}, signs, norm.gather};
  Inputs const inputs{without_value(x), without_value(gain), without_value(bias),
                      without_value(residual), without_value(slope)};
  return tape.record(
      y, [&tape, saved, inputs](Tensor const& dy) { backward(tape, saved, inputs, dy); });
}

}  // namespace core
