#include "core/device.h"
#include "core/ops.h"
#include "core/ops/window.h"

namespace core {

namespace {

/// Returns the shape after pooling. Padding may be at most half of the window size, as in PyTorch.
Shape pooled(char const* op, Shape const& x, Window const& window) {
  check(2 * window.padding.h <= window.size.h && 2 * window.padding.w <= window.size.w, op,
        ": padding of ", window.padding.h, " x ", window.padding.w, " exceeds half of a window of ",
        window.size.h, " x ", window.size.w);
  return windowed(op, x, window);
}

Var average(Tape& tape, char const* op, Var const& x, Window const& window) {
  Shape const shape = x.value.shape();
  Tensor y(x.value.device(), pooled(op, shape, window), x.value.dtype());
  y.device().kernels().average_pool(x.value, window, y);
  return tape.record(y, [&tape, to = Var{{}, x.slot}, shape, window](Tensor const& dy) {
    if (!to.requires_grad()) return;
    Tensor dx(dy.device(), shape, dy.dtype());
    dx.device().kernels().average_pool_backward(dy, window, dx);
    tape.add_grad(to, dx);
  });
}

}  // namespace

Var max_pool(Tape& tape, Var const& x, Window const& window) {
  Shape const shape = x.value.shape();
  Tensor y(x.value.device(), pooled("max_pool", shape, window), x.value.dtype());
  Tensor where(y.device(), y.shape(), Dtype::i32);
  y.device().kernels().max_pool(x.value, window, y, where);
  return tape.record(y, [&tape, to = Var{{}, x.slot}, shape, where, window](Tensor const& dy) {
    if (!to.requires_grad()) return;
    Tensor dx(dy.device(), shape, dy.dtype());
    dx.device().kernels().max_pool_backward(dy, where, window, dx);
    tape.add_grad(to, dx);
  });
}

Var average_pool(Tape& tape, Var const& x, Window const& window) {
  return average(tape, "average_pool", x, window);
}

Var global_average_pool(Tape& tape, Var const& x) {
  Shape const& in = x.value.shape();
  check(in.size() == 4, "global_average_pool: x of shape ", in, "; expected (N, H, W, Ch)");
  Var const y = average(tape, "global_average_pool", x, {.size = {in[1], in[2]}});
  return flatten(tape, y);
}

}  // namespace core
