#include "core/tape.h"
#include <utility>
#include "core/device.h"
#include "core/kernels.h"

namespace core {

Var Tape::parameter(Parameter& parameter) {
  return record(parameter.compute, [&parameter](Tensor const& grad) {
    parameter.grad = grad;
    if (parameter.ready) parameter.ready(parameter);
  });
}

Var Tape::record(Tensor value, Backward backward) {
  Var v{std::move(value), add_slot()};
  if (training()) steps_.push_back({v.slot, std::move(backward)});
  return v;
}

void Tape::add_grad(Var const& v, Tensor grad) {
  if (!v.requires_grad()) return;
  Tensor& slot = grads_[static_cast<size_t>(v.slot)];
  if (!slot) {
    slot = std::move(grad);
    return;
  }
  Kernels& kernels = slot.device().kernels();
  if (slot.alone()) return kernels.accumulate(1, grad, slot);
  Tensor sum = empty_like(slot);
  kernels.add(slot, grad, sum);
  slot = std::move(sum);
}

Tensor Tape::take_grad(Var const& v) {
  if (!v.requires_grad()) return {};
  Tensor& slot = grads_[static_cast<size_t>(v.slot)];
  return slot && slot.alone() ? std::exchange(slot, {}) : Tensor{};
}

void Tape::backward(Var const& result, Tensor seed) {
  check(training(), "backward: an inference tape records nothing; use a tape with Mode::training");
  add_grad(result, std::move(seed));
  while (!steps_.empty()) {
    Step const step = std::move(steps_.back());
    steps_.pop_back();
    Tensor const grad = std::move(grads_[static_cast<size_t>(step.slot)]);
    if (grad) step.backward(grad);
  }
}

int Tape::add_slot() {
  grads_.emplace_back();
  return static_cast<int>(grads_.size()) - 1;
}

}  // namespace core
