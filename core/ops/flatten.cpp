#include "core/ops.h"

namespace core {

Var flatten(Tape& tape, Var const& x) {
  Shape const shape = x.value.shape();
  check(!shape.empty(), "flatten: x is a scalar");
  int64_t const rest = count(Shape(shape.begin() + 1, shape.end()));
  Tensor const y = x.value.reshape({shape[0], rest});
  if (!x.requires_grad()) return Tape::constant(y);
  return tape.record(y, [&tape, shape, to = Var{{}, x.slot}](Tensor const& dy) {
    tape.add_grad(to, dy.reshape(shape));
  });
}

}  // namespace core
