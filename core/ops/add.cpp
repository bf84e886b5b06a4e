#include "core/device.h"
#include "core/ops.h"

namespace core {

Var add(Tape& tape, Var const& x, Var const& y) {
  check(x.value.shape() == y.value.shape() && x.value.dtype() == y.value.dtype(), "add: shapes ",
        x.value.shape(), " and ", y.value.shape(), ", in ", x.value.dtype(), " and ",
        y.value.dtype());
  Tensor z = empty_like(x.value);
  z.device().kernels().add(x.value, y.value, z);
  return tape.record(z, [&tape, a = Var{{}, x.slot}, b = Var{{}, y.slot}](Tensor const& dz) {
    tape.add_grad(a, dz);
    tape.add_grad(b, dz);
  });
}

}  // namespace core
