#include "layers/head/row_parallel.h"
#include "core/device.h"
#include "layers/head/column_parallel.h"

namespace layers {
using core::Role;
using core::Tensor;
using core::Var;

RowParallelLinear::RowParallelLinear(Context const& context, comm::Communicator& ranks,
                                     std::string const& name, Options const& o)
    : ranks_(ranks),
      counts_(comm::split_evenly(o.in, ranks.size())),
      weight_(constant(context, name + ".weight", Role::weight, {o.out, count()}, 0)) {
  auto& kernels = context.device.kernels();
  // Generates whole rows, one at a time, so that the values do not depend on the split.
  Tensor row(context.device, {1, o.in}, weight_.value.dtype());
  for (int64_t out = 0; out < o.out; ++out) {
    kernels.random_normal({context.seed, core::Purpose::head_weights, 0}, out * o.in, 0, o.init_std,
                          row);
    auto mine = weight_.value.rows(out, out + 1);
    kernels.copy_columns(row, begin(), count(), mine, 0);
  }
  refresh(weight_);
  if (o.bias) bias_ = constant(context, name + ".bias", Role::bias, {o.out}, 0);
}

Var RowParallelLinear::forward(core::Tape& tape, Var const& x) {
  auto const partial = linear(tape, take(tape, x), tape.parameter(weight_), {});
  auto const y = sum(tape, partial);
  if (!bias_.value) return y;
  auto const b = tape.parameter(bias_);
  Tensor biased = clone(y.value);
  biased.device().kernels().add_bias(bias_.value, biased);
  return tape.record(biased, [this, &tape, y, b](Tensor const& dy) {
    Tensor db = core::empty_like(bias_.value);
    dy.device().kernels().sum_rows(dy, db);
    tape.add_grad(b, db);
    tape.add_grad(y, dy);
  });
}

Var RowParallelLinear::take(core::Tape& tape, Var const& x) {
  auto const mine = take_columns(x.value, begin(), count());
  if (!x.requires_grad()) return core::Tape::constant(mine);
  return tape.record(mine, [this, &tape, x](Tensor const& dx) {
    tape.add_grad(x, gather_columns(ranks_, dx, counts_));
  });
}

Var RowParallelLinear::sum(core::Tape& tape, Var const& partial) {
  Tensor total(partial.value.device(), partial.value.shape(),
               core::accumulator(partial.value.dtype()));
  auto& kernels = total.device().kernels();
  kernels.convert(partial.value, total);
  ranks_.all_reduce(total, comm::Reduce::sum)->wait();
  Tensor y = core::empty_like(partial.value);
  kernels.convert(total, y);
  // Every rank computes the same loss from y, so the gradient of each partial product is dy.
  return tape.record(y, [&tape, partial](Tensor const& dy) { tape.add_grad(partial, dy); });
}

void RowParallelLinear::visit_parameters(Visit const& visit) {
  visit(weight_);
  if (bias_.value) visit(bias_);
}

Tensor RowParallelLinear::whole_weight() const {
  return gather_columns(ranks_, weight_.value, counts_);
}

}  // namespace layers
