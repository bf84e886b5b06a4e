#include "core/device.h"
#include "core/ops.h"

namespace core {

namespace {

void check_shapes(Tensor const& x, Tensor const& w, Tensor const& bias) {
  check(x.shape().size() == 2 && w.shape().size() == 2 && x.size(1) == w.size(1),
        "linear: x of shape ", x.shape(), ", w of shape ", w.shape(),
        "; expected (N, In), (Out, In)");
  check(!bias || bias.shape() == Shape{w.size(0)}, "linear: bias of shape ", bias.shape(),
        " does not match w of shape ", w.shape());
  check(w.dtype() == x.dtype() && (!bias || bias.dtype() == accumulator(x.dtype())),
        "linear: dtypes do not match: x in ", x.dtype(), ", w in ", w.dtype(), ", bias in ",
        bias.dtype());
}

}  // namespace

Var linear(Tape& tape, Var const& x, Var const& w, Var const& bias) {
  check_shapes(x.value, w.value, bias.value);
  Tensor y(x.value.device(), {x.value.size(0), w.value.size(0)}, x.value.dtype());
  Kernels& forward = y.device().kernels();
  forward.matmul(x.value, Transpose::no, w.value, Transpose::yes, 1, 0, y);
  if (bias.value) forward.add_bias(bias.value, y);
  return tape.record(y, [&tape, x, w, bias](Tensor const& dy) {
    Kernels& kernels = dy.device().kernels();
    if (bias.requires_grad()) {
      Tensor dbias = empty_like(bias.value);
      kernels.sum_rows(dy, dbias);
      tape.add_grad(bias, dbias);
    }
    if (w.requires_grad()) {
      Tensor dw(dy.device(), w.value.shape(), accumulator(dy.dtype()));
      kernels.matmul(dy, Transpose::yes, x.value, Transpose::no, 1, 0, dw);
      tape.add_grad(w, dw);
    }
    if (x.requires_grad()) {
      Tensor dx = empty_like(x.value);
      kernels.matmul(dy, Transpose::no, w.value, Transpose::no, 1, 0, dx);
      tape.add_grad(x, dx);
    }
  });
}

}  // namespace core
