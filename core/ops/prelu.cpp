#include "core/device.h"
#include "core/ops.h"

namespace core {

Var prelu(Tape& tape, Var const& x, Var const& slope) {
  check(!x.value.shape().empty() && slope.value.shape() == Shape{x.value.size(-1)},
        "prelu: slope of shape ", slope.value.shape(), " for x of shape ", x.value.shape());
  Tensor y = empty_like(x.value);
  y.device().kernels().prelu(x.value, slope.value, y);
  return tape.record(y, [&tape, x, slope](Tensor const& dy) {
    Tensor dx = empty_like(dy), dslope = empty_like(slope.value);
    dx.device().kernels().prelu_backward(x.value, slope.value, dy, dx, dslope);
    tape.add_grad(slope, dslope);
    tape.add_grad(x, dx);
  });
}

}  // namespace core
