#include "core/device.h"
#include "core/ops.h"

namespace core {

Var l2_normalise(Tape& tape, Var const& x) {
  check(x.value.shape().size() == 2, "l2_normalise: x of shape ", x.value.shape(),
        "; expected (N, D)");
  Tensor y = empty_like(x.value);
  Tensor norm(y.device(), {y.size(0)}, accumulator(y.dtype()));
  y.device().kernels().l2_normalise(x.value, y, norm);
  if (!x.requires_grad()) return Tape::constant(y);
  return tape.record(y, [&tape, y, norm, to = Var{{}, x.slot}](Tensor const& dy) {
    Tensor dx = empty_like(dy);
    dx.device().kernels().l2_normalise_backward(y, norm, dy, dx);
    tape.add_grad(to, dx);
  });
}

}  // namespace core
