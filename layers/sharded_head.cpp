#include "layers/sharded_head.h"
#include <algorithm>
#include <limits>
#include "core/device.h"

namespace layers {
using core::Dtype;
using core::Tensor;
using core::Transpose;
using core::Var;

namespace {

constexpr int64_t stored_bytes_at_most = int64_t{256} << 20;

/// Weights are kept wide; compute copies are made a chunk at a time, never of the whole shard.
Context wide(Context context) {
  context.dtype = core::accumulator(context.dtype);
  return context;
}

Tensor velocity_like(core::Parameter const& parameter) {
  if (!parameter.value) return {};
  Tensor velocity = core::empty_like(parameter.value);
  velocity.device().kernels().fill(0, velocity);
  return velocity;
}

}  // namespace

struct ShardedHead::Pass {
  Tensor x;                    ///< (B, D), all ranks' features in the products' dtype
  Tensor labels;               ///< (B)
  Tensor parts;                ///< (P, B, 3), every rank's statistics; gone once merged
  Tensor lse;                  ///< (B)
  std::vector<Tensor> logits;  ///< (B, n) of each chunk, where they are stored
  int64_t batch() const { return x.size(0); }
};

ShardedHead::ShardedHead(Context const& context, comm::Communicator& ranks, Options const& o)
    : options_(o),
      dtype_(context.dtype),
      cache_bytes_(context.device.cache_bytes()),
      ranks_(ranks),
      linear_(wide(context), ranks, "head",
              {.in = o.features, .out = o.classes, .bias = o.bias, .deviation = o.deviation}) {
  check_head(o.classes, o.features);
  core::check(o.chunk >= 0, "head: chunk ", o.chunk, "; must be 0 (automatic) or positive");
  if (!o.momentum) return;
  velocity_ = velocity_like(linear_.weight());
  bias_velocity_ = velocity_like(linear_.bias());
}

void ShardedHead::set_step(HeadStep const& step) {
  check_step(step, options_.momentum);
  step_ = step;
}

int64_t ShardedHead::chunk(int64_t batch) const {
  if (options_.chunk > 0) return options_.chunk;
  // Logits f32, probabilities, weights rounded and their gradient f32 share the cache.
  int64_t const bytes_a_class = batch * 6 + options_.features * 6;
  return std::clamp<int64_t>(cache_bytes_ / bytes_a_class / 64 * 64, 256, cache_bytes_ >> 10);
}

std::vector<ShardedHead::Chunk> ShardedHead::chunks(int64_t batch) const {
  std::vector<Chunk> parts;
  for (int64_t begin = 0, step = chunk(batch); begin < count(); begin += step) {
    parts.push_back({begin, std::min(begin + step, count())});
  }
  return parts;
}

bool ShardedHead::stores(int64_t batch) const {
  if (options_.logits != Logits::automatic) return options_.logits == Logits::store;
  // Asked of the largest shard, so that every rank decides alike.
  int64_t const most = (options_.classes + ranks_.size() - 1) / ranks_.size();
  return batch * most * 4 <= stored_bytes_at_most;
}

Tensor ShardedHead::weights(Chunk const& chunk) {
  auto const rows = linear_.weight().value.rows(chunk.begin, chunk.end);
  if (rows.dtype() == dtype_) return rows;
  Tensor rounded(rows.device(), rows.shape(), dtype_);
  rows.device().kernels().convert(rows, rounded);
  return rounded;
}

Tensor ShardedHead::bias(Chunk const& chunk) {
  auto const& whole = linear_.bias().value;
  return whole ? whole.rows(chunk.begin, chunk.end) : Tensor{};
}

/// (B, n) without bias, Wide.
Tensor ShardedHead::logits(Tensor const& x, Tensor const& w) {
  Tensor z(x.device(), {x.size(0), w.size(0)}, core::accumulator(dtype_));
  x.device().kernels().matmul(x, Transpose::no, w, Transpose::yes, 1, 0, z);
  return z;
}

Var ShardedHead::loss(core::Tape& tape, Var const& x, Tensor const& labels,
                      comm::Counts const& counts) {
  check_batch(x.value, labels, counts, options_.features, dtype_);
  auto pass = std::make_shared<Pass>();
  pass->x = gather_rows(ranks_, x.value, counts);
  pass->labels = gather_rows(ranks_, labels, counts);
  statistics(*pass);

  Tensor losses(pass->x.device(), {pass->batch(), 1}, pass->lse.dtype());
  Tensor rows = losses.reshape({pass->batch()}), mean(losses.device(), {1}, losses.dtype());
  auto& kernels = losses.device().kernels();
  kernels.softmax_merge(pass->parts, pass->labels, pass->lse, rows);
  pass->parts = {};
  kernels.sum_rows(losses, mean);
  kernels.scale(1.0 / static_cast<double>(pass->batch()), mean);
  return tape.record(mean, [this, &tape, x, pass, counts](Tensor const&) {
    tape.give(x, scatter(backward(*pass), counts));
  });
}

/// The first pass over the classes, and the ranks' statistics gathered.
void ShardedHead::statistics(Pass& pass) {
  auto& kernels = pass.x.device().kernels();
  Tensor mine(pass.x.device(), {pass.batch(), 3}, core::accumulator(dtype_));
  kernels.softmax_begin(mine);
  bool const store = stores(pass.batch());
  for (auto const& chunk : chunks(pass.batch())) {
    Tensor z = logits(pass.x, weights(chunk));
    kernels.softmax_statistics(bias(chunk), pass.labels, begin() + chunk.begin, z, mine);
    if (store) pass.logits.push_back(z);
  }
  pass.parts = Tensor(mine.device(), {ranks_.size(), pass.batch(), 3}, mine.dtype());
  pass.lse = Tensor(mine.device(), {pass.batch()}, mine.dtype());
  ranks_.all_gather(mine, pass.parts)->wait();
}

/// The second pass: updates the shard; returns this rank's share of dX (B, D), Wide.
Tensor ShardedHead::backward(Pass& pass) {
  auto& kernels = pass.x.device().kernels();
  Tensor dx(pass.x.device(), pass.x.shape(), core::accumulator(dtype_));
  kernels.fill(0, dx);
  auto const parts = chunks(pass.batch());
  for (size_t i = 0; i < parts.size(); ++i) {
    auto const w = weights(parts[i]);
    Tensor z;
    if (!pass.logits.empty()) {
      z = std::move(pass.logits[i]);
    } else {
      z = logits(pass.x, w);
      if (auto const b = bias(parts[i])) kernels.add_bias(b, z);
    }
    Tensor g(z.device(), z.shape(), dtype_);
    kernels.softmax_gradient(z, pass.lse, pass.labels, begin() + parts[i].begin,
                             1.0 / static_cast<double>(pass.batch()), g);
    kernels.matmul(g, Transpose::no, w, Transpose::no, 1, 1, dx);
    update(parts[i], g, pass.x);
  }
  return dx;
}

/// One chunk's rows, after dX has used them.
void ShardedHead::update(Chunk const& chunk, Tensor const& g, Tensor const& x) {
  auto& kernels = x.device().kernels();
  auto const rows = [&](Tensor const& all) {
    return all ? all.rows(chunk.begin, chunk.end) : Tensor{};
  };
  Tensor w = rows(linear_.weight().value), velocity = rows(velocity_), none;
  Tensor dw = core::empty_like(w);
  kernels.matmul(g, Transpose::yes, x, Transpose::no, 1, 0, dw);
  kernels.sgd(step_.weight, dw, w, velocity, none);
  if (Tensor b = bias(chunk)) {
    Tensor db = core::empty_like(b), bias_velocity = rows(bias_velocity_);
    kernels.sum_rows(g, db);
    kernels.sgd(step_.bias, db, b, bias_velocity, none);
  }
}

/// The sum over ranks of this rank's rows of dX, in the products' dtype.
Tensor ShardedHead::scatter(Tensor const& dx, comm::Counts const& counts) {
  auto const rows = counts[static_cast<size_t>(ranks_.rank())];
  Tensor mine(dx.device(), {rows, dx.size(1)}, dx.dtype());
  ranks_.reduce_scatter(dx, counts, mine)->wait();
  if (mine.dtype() == dtype_) return mine;
  Tensor narrow(mine.device(), mine.shape(), dtype_);
  mine.device().kernels().convert(mine, narrow);
  return narrow;
}

TopK ShardedHead::top_k(Tensor const& x, comm::Counts const& counts, int k) {
  core::check(k > 0, "head: top ", k);
  auto const all = gather_rows(ranks_, x, counts);
  auto& kernels = all.device().kernels();
  Tensor scores(all.device(), {all.size(0), k}, core::accumulator(dtype_));
  Tensor best(all.device(), {all.size(0), k}, Dtype::i64);
  kernels.fill(-std::numeric_limits<double>::infinity(), scores);
  kernels.fill(-1, best);
  for (auto const& chunk : chunks(all.size(0))) {
    Tensor z = logits(all, weights(chunk));
    if (auto const b = bias(chunk)) kernels.add_bias(b, z);
    kernels.top_k(z, begin() + chunk.begin, scores, best);
  }
  return merge_top_k(ranks_, scores, best);
}

std::vector<Head::State> ShardedHead::state() {
  return named_state(linear_.weight().value, linear_.bias().value, velocity_, bias_velocity_);
}

}  // namespace layers
