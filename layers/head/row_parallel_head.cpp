#include "layers/head/row_parallel_head.h"
#include <limits>
#include "core/device.h"
#include "layers/head/column_parallel.h"

namespace layers {
using core::Dtype;
using core::Tensor;
using core::Var;

namespace {

Tensor widened(Tensor const& x) {
  Tensor wide(x.device(), x.shape(), core::accumulator(x.dtype()));
  x.device().kernels().convert(x, wide);
  return wide;
}

}  // namespace

RowParallelHead::RowParallelHead(Context const& context, comm::Communicator& ranks,
                                 Options const& options)
    : options_(options),
      dtype_(context.dtype),
      ranks_(ranks),
      linear_(context, ranks.named("split linear"), "head",
              {.in = options.features, .out = options.classes, .bias = options.bias}),
      gradient_scale_(core::scalar(context.device, 1)) {
  check_head(options.classes, options.features);
  begin_update(linear_.weight(), weight_);
  begin_update(linear_.bias(), bias_);
}

/// Creates the optimizer state of a parameter. Unless the step is deferred, the parameter is
/// updated as soon as its gradient is ready.
void RowParallelHead::begin_update(core::Parameter& parameter, core::UpdateState& state) {
  if (!parameter.value) return;
  state.w = parameter.value;
  if (parameter.compute.dtype() != parameter.value.dtype()) state.copy = parameter.compute;
  if (options_.momentum) {
    state.first = core::empty_like(parameter.value);
    parameter.value.device().kernels().fill(0, state.first);
  }
  parameter.ready = [this](core::Parameter& p) {
    if (!step_.deferred) update(p);
  };
}

void RowParallelHead::update(core::Parameter& p) {
  if (!p.grad) return;
  bool const weight = &p == &linear_.weight();
  auto rule = weight ? step_.weight : step_.bias;
  rule.gradient_scale = gradient_scale_;
  p.value.device().kernels().update(rule, 0, {}, p.grad, weight ? weight_ : bias_);
  p.grad = {};
}

std::string RowParallelHead::describe(int64_t batch) const {
  auto const bytes = batch * options_.classes * static_cast<int64_t>(core::size_of(dtype_));
  return core::join("head: every rank computes all ", options_.classes, " logits of each row, ",
                    bytes / 1'000'000, " MB per batch, in several copies");
}

void RowParallelHead::set_step(HeadStep const& step) {
  check_deferred(step);
  check_rules(step, options_.momentum ? Moments::velocity : Moments::none);
  core::check(!step.summed && step.trust_coefficient == 0 && step.sampling_rate == 1,
              "row-parallel head: several batches per step, LARS and class sampling are not "
              "supported; use the class-sharded head");
  step_ = step;
}

void RowParallelHead::add_gradient_squared_norm(Tensor& sum) {
  auto& kernels = sum.device().kernels();
  Tensor mine(sum.device(), {1}, Dtype::f64);
  kernels.fill(0, mine);
  kernels.add_squared_norm(linear_.weight().grad, mine);
  ranks_.named("gradient norm").all_reduce(mine, comm::Reduce::sum)->wait();
  // Every rank has the whole bias, so it is added without a reduction.
  if (linear_.bias().value) kernels.add_squared_norm(linear_.bias().grad, mine);
  kernels.accumulate(1, mine, sum);
}

void RowParallelHead::finish() {
  update(linear_.weight());
  update(linear_.bias());
}

/// Gathers the rows (B, D) of all ranks. Backward takes this rank's rows of the gradient, which is
/// the same on every rank.
Var RowParallelHead::gather(core::Tape& tape, Var const& x, comm::Counts const& counts) {
  int64_t const begin = comm::begin_of(counts, ranks_.rank()), end = begin + x.value.size(0);
  return tape.record(
      gather_rows(ranks_.named("features"), x.value, counts),
      [&tape, x, begin, end](Tensor const& dx) { tape.add_grad(x, clone(dx.rows(begin, end))); });
}

Var RowParallelHead::loss(core::Tape& tape, Var const& x, Tensor const& labels,
                          comm::Counts const& counts) {
  check_batch(x.value, labels, counts, options_.features, dtype_);
  auto const y = gather_rows(ranks_.named("labels"), labels, counts);
  auto const out = linear_.forward(tape, gather(tape, x, counts));
  Tensor z = widened(out.value);
  int64_t const batch = z.size(0);
  auto& kernels = z.device().kernels();

  Tensor stats(z.device(), {batch, core::math::RowStatistics::count}, z.dtype());
  Tensor rows(z.device(), {batch, core::math::RowGradient::count}, z.dtype());
  Tensor mean(z.device(), {1}, z.dtype()), sums(z.device(), {2}, Dtype::f64);
  Tensor tiles(z.device(), {core::math::tiles_of(z.size(1)), batch, 3}, z.dtype());
  kernels.softmax_begin(stats);
  kernels.softmax_statistics({}, {}, y, z, stats, tiles);
  kernels.softmax_merge_tiles(tiles, stats);
  kernels.fill(0, sums);
  auto const classes = static_cast<double>(options_.classes);
  kernels.softmax_merge({.classes = classes, .weight_sum = classes},
                        stats.reshape({1, batch, core::math::RowStatistics::count}), y, rows, sums);
  kernels.softmax_mean(sums, rows, mean, gradient_scale_);

  return tape.record(mean, [&tape, out, z, rows, y](Tensor const&) {
    Tensor dz = core::empty_like(out.value);
    z.device().kernels().softmax_gradient({}, {}, y, z, rows, dz);
    tape.add_grad(out, dz);
  });
}

Tensor RowParallelHead::logits(Tensor const& x, comm::Counts const& counts) {
  core::Tape tape(core::Mode::inference);
  auto const all = core::Tape::constant(gather_rows(ranks_, x, counts));
  return widened(linear_.forward(tape, all).value);
}

TopK RowParallelHead::top_k(Tensor const& x, comm::Counts const& counts, int k) {
  core::check(k > 0, "head: top_k needs a positive k, not ", k);
  // Every rank has all logits. Each one finds the best of a part of the classes, like the sharded
  // head.
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

std::vector<Head::State> RowParallelHead::state() { return named_state(weight_, bias_); }

}  // namespace layers
