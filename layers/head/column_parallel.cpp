#include "layers/head/column_parallel.h"
#include <algorithm>
#include "core/device.h"

namespace layers {
using core::Role;
using core::Tensor;
using core::Var;

ColumnParallelLinear::ColumnParallelLinear(Context const& context, comm::Communicator& ranks,
                                           std::string const& name, Options const& o)
    : ranks_(ranks),
      counts_(comm::split_evenly(o.out, ranks.size())),
      gather_output_(o.gather_output),
      weight_(constant(context, name + ".weight", Role::weight, {count(), o.in}, 0)) {
  context.device.kernels().random_normal({context.seed, core::Purpose::head_weights, 0},
                                         begin() * o.in, 0, o.init_std, weight_.value);
  refresh(weight_);
  if (o.bias) bias_ = constant(context, name + ".bias", Role::bias, {count()}, 0);
}

Var ColumnParallelLinear::forward(core::Tape& tape, Var const& x) {
  auto const shared = sum_gradient(tape, ranks_, x);
  auto const w = tape.parameter(weight_);
  auto const y = linear(tape, shared, w, bias_.value ? tape.parameter(bias_) : Var{});
  return gather_output_ == GatherOutput::yes ? gather(tape, y) : y;
}

Var ColumnParallelLinear::gather(core::Tape& tape, Var const& mine) {
  return tape.record(gather_columns(ranks_, mine.value, counts_),
                     [this, &tape, mine](Tensor const& dy) {
                       tape.add_grad(mine, take_columns(dy, begin(), count()));
                     });
}

void ColumnParallelLinear::visit_parameters(Visit const& visit) {
  visit(weight_);
  if (bias_.value) visit(bias_);
}

Tensor gather_columns(comm::Communicator& ranks, Tensor const& mine, comm::Counts const& counts) {
  // Each rank sends one block (N × n_r). The columns are interleaved afterwards.
  int64_t const rows = mine.size(0), columns = comm::begin_of(counts, ranks.size());
  auto sizes = counts;
  for (auto& size : sizes) size *= rows;
  Tensor blocks(mine.device(), {rows * columns}, mine.dtype());
  ranks.all_gather(mine.reshape({mine.count()}), sizes, blocks)->wait();
  Tensor all(mine.device(), {rows, columns}, mine.dtype());
  for (int rank = 0; rank < ranks.size(); ++rank) {
    int64_t const begin = comm::begin_of(counts, rank), end = comm::begin_of(counts, rank + 1);
    auto const block = blocks.rows(rows * begin, rows * end).reshape({rows, end - begin});
    mine.device().kernels().copy_columns(block, 0, end - begin, all, begin);
  }
  return all;
}

Tensor take_columns(Tensor const& x, int64_t begin, int64_t count) {
  Tensor part(x.device(), {x.size(0), count}, x.dtype());
  x.device().kernels().copy_columns(x, begin, count, part, 0);
  return part;
}

Var sum_gradient(core::Tape& tape, comm::Communicator& ranks, Var const& x) {
  if (!x.requires_grad()) return x;
  return tape.record(x.value, [&tape, &ranks, x](Tensor const& share) {
    Tensor sum(share.device(), share.shape(), core::accumulator(share.dtype()));
    auto& kernels = share.device().kernels();
    kernels.convert(share, sum);
    ranks.all_reduce(sum, comm::Reduce::sum)->wait();
    Tensor dx = core::empty_like(share);
    kernels.convert(sum, dx);
    tape.add_grad(x, dx);
  });
}

}  // namespace layers
