#include "core/device.h"
#include "core/ops.h"
#include "core/ops/window.h"

namespace core {

namespace {

void check_shapes(Tensor const& x, Tensor const& w, Tensor const& bias, Window const& window,
                  int64_t groups) {
  auto const &in = x.shape(), &weights = w.shape();
  check(in.size() == 4 && weights.size() == 4, "conv2d: x of shape ", in, ", w of shape ", weights,
        "; expected 4 axes each");
  check(weights[1] == window.size.h && weights[2] == window.size.w, "conv2d: w of shape ", weights,
        " does not match a window of ", window.size.h, " x ", window.size.w);
  check(groups > 0 && weights[0] % groups == 0 && weights[3] * groups == in[3],
        "conv2d: x of shape ", in, " and w of shape ", weights, " do not match for ", groups,
        " groups");
  check(!bias || bias.shape() == Shape{weights[0]}, "conv2d: bias of shape ", bias.shape(),
        " does not match w of shape ", weights);
  check(w.dtype() == x.dtype() && (!bias || bias.dtype() == accumulator(x.dtype())),
        "conv2d: dtypes do not match: x in ", x.dtype(), ", w in ", w.dtype(), ", bias in ",
        bias.dtype());
}

}  // namespace

Var conv2d(Tape& tape, Var const& x, Var const& w, Var const& bias, Window const& window,
           int64_t groups) {
  check_shapes(x.value, w.value, bias.value, window, groups);
  Shape out = windowed("conv2d", x.value.shape(), window);
  out.back() = w.value.size(0);
  Tensor y(x.value.device(), out, x.value.dtype());
  y.device().kernels().conv2d(x.value, w.value, bias.value, window, groups, y);
  return tape.record(y, [&tape, x, w, bias, window, groups](Tensor const& dy) {
    Kernels& kernels = dy.device().kernels();
    if (bias.requires_grad()) {
      Tensor dbias = empty_like(bias.value);
      kernels.sum_rows(dy, dbias);
      tape.add_grad(bias, dbias);
    }
    if (w.requires_grad()) {
      Tensor dw(dy.device(), w.value.shape(), accumulator(dy.dtype()));
      kernels.conv2d_backward_weights(x.value, dy, window, groups, dw);
      tape.add_grad(w, dw);
    }
    if (x.requires_grad()) {
      Tensor dx = tape.take_grad(x);
      Store const store = dx ? Store::add : Store::replace;
      if (!dx) dx = empty_like(x.value);
      kernels.conv2d_backward_input(dy, w.value, window, groups, store, dx);
      tape.add_grad(x, dx);
    }
  });
}

}  // namespace core
