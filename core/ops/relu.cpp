#include "core/device.h"
#include "core/ops.h"

namespace core {

Var relu(Tape& tape, Var const& x) {
  Tensor y = empty_like(x.value);
  y.device().kernels().relu(x.value, y);
  if (!x.requires_grad()) return Tape::constant(y);
  return tape.record(y, [&tape, y, to = Var{{}, x.slot}](Tensor const& dy) {
    Tensor dx = empty_like(dy);
    dx.device().kernels().relu_backward(y, dy, dx);
    tape.add_grad(to, dx);
  });
}

}  // namespace core
