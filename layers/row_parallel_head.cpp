#include "layers/row_parallel_head.h"
#include <limits>
#include "core/device.h"
#include "layers/column_parallel.h"

namespace layers {
using core::Dtype;
using core::Tensor;
using core::Var;

namespace {

/// Updates `parameter` by `rule` the moment its gradient is ready.
void update_when_ready(core::Parameter& parameter, core::SgdStep const& rule, bool momentum,
                       Tensor& velocity) {
  if (!parameter.value) return;
  auto& kernels = parameter.value.device().kernels();
  if (momentum) {
    velocity = core::empty_like(parameter.value);
    kernels.fill(0, velocity);
  }
  parameter.ready = [&](core::Parameter& p) {
    Tensor copy = p.compute.dtype() == p.value.dtype() ? Tensor{} : p.compute;
    p.value.device().kernels().sgd(rule, p.grad, p.value, velocity, copy);
    p.grad = {};
  };
}

Tensor widened(Tensor const& x) {
  Tensor wide(x.device(), x.shape(), core::accumulator(x.dtype()));
  x.device().kernels().convert(x, wide);
  return wide;
}

}  // namespace

RowParallelHead::RowParallelHead(Context const& context, comm::Communicator& ranks,
                                 Options const& o)
    : options_(o),
      dtype_(context.dtype),
      ranks_(ranks),
      linear_(context, ranks, "head", {.in = o.features, .out = o.classes, .bias = o.bias}) {
  check_head(o.classes, o.features);
  update_when_ready(linear_.weight(), step_.weight, o.momentum, velocity_);
  update_when_ready(linear_.bias(), step_.bias, o.momentum, bias_velocity_);
}

void RowParallelHead::set_step(HeadStep const& step) {
  check_step(step, options_.momentum);
  step_ = step;
}

/// All ranks' rows (B, D); the gradient, the same on every rank, gives back this rank's.
Var RowParallelHead::gather(core::Tape& tape, Var const& x, comm::Counts const& counts) {
  int64_t const begin = comm::begin_of(counts, ranks_.rank()), end = begin + x.value.size(0);
  return tape.record(
      gather_rows(ranks_, x.value, counts),
      [&tape, x, begin, end](Tensor const& dx) { tape.give(x, clone(dx.rows(begin, end))); });
}

Var RowParallelHead::loss(core::Tape& tape, Var const& x, Tensor const& labels,
                          comm::Counts const& counts) {
  check_batch(x.value, labels, counts, options_.features, dtype_);
  auto const y = gather_rows(ranks_, labels, counts);
  auto const out = linear_.forward(tape, gather(tape, x, counts));
  Tensor z = widened(out.value);
  int64_t const batch = z.size(0);
  auto& kernels = z.device().kernels();

  Tensor stats(z.device(), {batch, 3}, z.dtype()), lse(z.device(), {batch}, z.dtype());
  Tensor losses(z.device(), {batch}, z.dtype()), mean(z.device(), {1}, z.dtype());
  kernels.softmax_begin(stats);
  kernels.softmax_statistics({}, y, 0, z, stats);
  kernels.softmax_merge(stats.reshape({1, batch, 3}), y, lse, losses);
  kernels.sum_rows(losses.reshape({batch, 1}), mean);
  kernels.scale(1.0 / static_cast<double>(batch), mean);

  return tape.record(mean, [&tape, out, z, lse, y, batch](Tensor const&) {
    Tensor dz = core::empty_like(out.value);
    z.device().kernels().softmax_gradient(z, lse, y, 0, 1.0 / static_cast<double>(batch), dz);
    tape.give(out, dz);
  });
}

Tensor RowParallelHead::logits(Tensor const& x, comm::Counts const& counts) {
  core::Tape tape(core::Mode::inference);
  auto const all = core::Tape::constant(gather_rows(ranks_, x, counts));
  return widened(linear_.forward(tape, all).value);
}

TopK RowParallelHead::top_k(Tensor const& x, comm::Counts const& counts, int k) {
  core::check(k > 0, "head: top ", k);
  // Every rank has all logits: each ranks a part of the classes, as the sharded head does.
  auto const z = logits(x, counts);
  auto const parts = comm::split_evenly(options_.classes, ranks_.size());
  int64_t const begin = comm::begin_of(parts, ranks_.rank());
  int64_t const count = parts[static_cast<size_t>(ranks_.rank())];
  auto& kernels = z.device().kernels();
  Tensor scores(z.device(), {z.size(0), k}, z.dtype());
  Tensor best(z.device(), {z.size(0), k}, Dtype::i64);
  kernels.fill(-std::numeric_limits<double>::infinity(), scores);
  kernels.fill(-1, best);
  kernels.top_k(take_columns(z, begin, count), begin, scores, best);
  return merge_top_k(ranks_, scores, best);
}

double RowParallelHead::difference_to_unsplit(Tensor const& x, comm::Counts const& counts) {
  auto const split = logits(x, counts);
  auto const all = widened(gather_rows(ranks_, x, counts));
  Tensor whole(all.device(), split.shape(), split.dtype());
  auto& kernels = all.device().kernels();
  kernels.matmul(all, core::Transpose::no, linear_.whole_weight(), core::Transpose::yes, 1, 0,
                 whole);
  if (auto const& b = linear_.bias().value) kernels.add_bias(b, whole);
  kernels.accumulate(-1, split, whole);
  // The sum of squares is the product of the differences, as one row, with themselves.
  auto const row = whole.reshape({1, whole.count()});
  Tensor square(row.device(), {1, 1}, row.dtype());
  kernels.matmul(row, core::Transpose::no, row, core::Transpose::yes, 1, 0, square);
  Tensor wide(row.device(), {1, 1}, Dtype::f64);
  kernels.convert(square, wide);
  double sum = 0;
  wide.device().download(wide, &sum);
  return sum / static_cast<double>(whole.count());
}

std::vector<Head::State> RowParallelHead::state() {
  return named_state(linear_.weight().value, linear_.bias().value, velocity_, bias_velocity_);
}

}  // namespace layers
