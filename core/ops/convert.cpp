#include "core/device.h"
#include "core/ops.h"

namespace core {

Var convert(Tape& tape, Var const& x, Dtype dtype) {
  Dtype const from = x.value.dtype();
  if (from == dtype) return x;
  Tensor y(x.value.device(), x.value.shape(), dtype);
  y.device().kernels().convert(x.value, y);
  if (!x.requires_grad()) return Tape::constant(y);
  return tape.record(y, [&tape, from, to = Var{{}, x.slot}](Tensor const& dy) {
    Tensor dx(dy.device(), dy.shape(), from);
    dx.device().kernels().convert(dy, dx);
    tape.add_grad(to, dx);
  });
}

}  // namespace core
