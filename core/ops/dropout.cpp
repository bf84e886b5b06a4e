#include "core/device.h"
#include "core/ops.h"

namespace core {

namespace {

/// Key of the random stream of one layer in one step; unique for each (step, layer).
RandomKey stream(RandomPosition const& position, uint64_t layer) {
  constexpr int layer_bits = 16;
  check(layer < (1u << layer_bits), "dropout: layer ", layer, "; must be below 65536");
  return {position.seed, Purpose::dropout,
          (static_cast<uint64_t>(position.step) << layer_bits) | layer};
}

}  // namespace

Var dropout(Tape& tape, Var const& x, double probability, uint64_t layer) {
  check(0 <= probability && probability < 1, "dropout: probability must be in [0, 1), got ",
        probability);
  if (!tape.training() || probability == 0) return x;
  check(!x.value.shape().empty(), "dropout: x is a scalar");
  RandomKey const key = stream(tape.position(), layer);
  int64_t const sample = count(Shape(x.value.shape().begin() + 1, x.value.shape().end()));
  int64_t const first = tape.position().first_sample * sample;
  Tensor y = empty_like(x.value);
  y.device().kernels().dropout(x.value, key, first, probability, y);
  if (!x.requires_grad()) return Tape::constant(y);
  return tape.record(y, [=, &tape, to = Var{{}, x.slot}](Tensor const& dy) {
    Tensor dx = empty_like(dy);
    dx.device().kernels().dropout(dy, key, first, probability, dx);
    tape.add_grad(to, dx);
  });
}

}  // namespace core
