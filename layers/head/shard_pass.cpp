#include "layers/head/shard_pass.h"
#include <algorithm>

namespace layers {
using core::Columns;
using core::Tensor;
using core::Transpose;
namespace math = core::math;

ShardPass::ShardPass(ClassShard const& rows, Batch batch, std::vector<ClassSet> sets,
                     Tensor const& class_weights, Options const& options)
    : class_rows_(rows),
      batch_(std::move(batch)),
      sets_(std::move(sets)),
      class_weights_(class_weights),
      options_(options),
      wide_(core::accumulator(batch_.x.dtype())) {}

/// Returns the products (B, n), Acc.
Tensor ShardPass::products(ClassWeights const& weights, ChunkBuffers& buffers) const {
  auto const& x = batch_.x;
  auto z = buffers.products.take(x.device(), {x.size(0), weights.w.size(0)}, wide_);
  x.device().kernels().matmul(x, Transpose::no, weights.w, Transpose::yes, 1, 0, z);
  return z;
}

core::ClassChunk ShardPass::chunk(ClassSet const& set, ClassWeights const& weights) const {
  core::ClassChunk chunk{set.first, weights.bias, {}};
  if (!class_weights_) return chunk;
  chunk.weights = class_weights_.rows(set.begin, set.end);
  if (!set.sampled) return chunk;
  Tensor sampled(chunk.weights.device(), {set.count}, wide_);
  sampled.device().kernels().gather_rows(chunk.weights, set.sampled, 0, sampled);
  chunk.weights = sampled;
  return chunk;
}

/// Whether exponentials of all sets are stored as one matrix. On the CPU, oneDNN's fastest products
/// take dense matrices only; sampled sets have their own weights anyway.
bool ShardPass::one_matrix() const {
  return !batch_.x.device().on_host() && !sets_.empty() && !sets_.front().sampled;
}

/// Number of columns of stored exponentials.
int64_t ShardPass::columns() const {
  return sets_.empty() ? 0 : sets_.back().first + sets_.back().count - sets_.front().first;
}

/// Stored exponentials of set i.
Columns ShardPass::columns(size_t i) const {
  if (!one_matrix()) return stored_[i];
  return {stored_[0], sets_[i].first - sets_.front().first, sets_[i].count};
}

/// Allocates what the first pass writes.
void ShardPass::begin_first_pass() {
  // More tiles than a shard of a million classes has, unless one set alone has more.
  constexpr int64_t tiles_at_once = 256;
  auto& device = batch_.x.device();
  int64_t const rows = batch_.x.size(0);
  int64_t all = 0, most = 0;
  for (auto const& set : sets_) {
    all += math::tiles_of(set.count);
    most = std::max(most, math::tiles_of(set.count));
  }
  // Later, stored exponentials need the references of all tiles.
  int64_t const tiles = options_.store ? all : std::min(all, std::max(most, tiles_at_once));
  tiles_ = Tensor(device, {tiles, rows, 3}, wide_);
  if (options_.store || options_.early_dx) reference_ = Tensor(device, {rows}, wide_);
  if (options_.early_dx) dx_ = filled(device, batch_.x.shape(), wide_, 0);
  if (!options_.store) return;
  converted_.resize(sets_.size());
  auto const store = [&](int64_t width) {
    stored_.push_back(Tensor(device, {rows, width}, batch_.x.dtype()));
  };
  // Rows start at multiples of 128 bytes or more.
  if (one_matrix()) return store((columns() + 63) / 64 * 64);
  for (auto const& set : sets_) store(set.count);
}

Tensor ShardPass::statistics() {
  auto const& x = batch_.x;
  auto& kernels = x.device().kernels();
  Tensor stats(x.device(), {x.size(0), math::RowStatistics::count}, wide_);
  kernels.softmax_begin(stats);
  begin_first_pass();
  ChunkBuffers buffers;
  int64_t used = 0;
  for (size_t i = 0; i < sets_.size(); ++i) {
    int64_t const count = math::tiles_of(sets_[i].count);
    if (used + count > tiles_.size(0)) {
      kernels.softmax_merge_tiles(tiles_.rows(0, used), stats);
      used = 0;
    }
    Tensor tiles = tiles_.rows(used, used + count);
    used += count;
    first_pass(i, stats, tiles, buffers);
  }
  kernels.softmax_merge_tiles(tiles_.rows(0, used), stats);
  if (!options_.store) tiles_ = {};
  return stats;
}

void ShardPass::first_pass(size_t i, Tensor& stats, Tensor& tiles, ChunkBuffers& buffers) {
  auto const weights = class_rows_.read(sets_[i], buffers);
  auto const z = products(weights, buffers);
  if (options_.store || options_.early_dx) return keep(i, weights, z, stats, tiles, buffers);
  z.device().kernels().softmax_statistics(batch_.rule, chunk(sets_[i], weights), batch_.labels, z,
                                          stats, tiles);
}

/// First pass over a set whose exponentials are used again.
void ShardPass::keep(size_t i, ClassWeights const& weights, Tensor const& z, Tensor& stats,
                     Tensor& tiles, ChunkBuffers& buffers) {
  auto& device = z.device();
  auto& kernels = device.kernels();
  auto const part = chunk(sets_[i], weights);
  bool const nothing_before = sets_[i].first == sets_.front().first;
  if (nothing_before) kernels.softmax_reference(batch_.rule, part, batch_.labels, z, reference_);
  auto e = options_.store ? columns(i)
                          : Columns(buffers.gradient.take(device, z.shape(), batch_.x.dtype()));
  kernels.softmax_exponentials(batch_.rule, part, batch_.labels, z, reference_, stats, tiles, e);
  if (!options_.early_dx) return;
  kernels.softmax_align({}, sets_[i].count, tiles, reference_, e, dx_);
  kernels.matmul(e, Transpose::no, weights.w, Transpose::no, 1, 1, dx_);
}

/// The factor (B), Acc, by which an exponential is multiplied to be a gradient.
Tensor ShardPass::factors() const {
  Tensor factors = core::empty_like(reference_);
  factors.device().kernels().softmax_factors(rows_, reference_, factors);
  return factors;
}

/// Turns the sums of exp(z - reference) dz/dp w into gradients: multiplies each row by the factor
/// of exponentials, and adds the term of the target.
Tensor ShardPass::early_dx() {
  if (sets_.empty()) return std::move(dx_);
  auto& device = dx_.device();
  auto& kernels = device.kernels();
  int64_t const batch = dx_.size(0);
  Tensor targets(device, {batch, 1}, wide_);
  kernels.scale_rows(1, factors(), dx_);
  kernels.copy_columns(rows_, math::RowGradient::target, 1, targets, 0);
  kernels.accumulate_rows(targets.reshape({batch}), class_rows_.read_classes(batch_.classes), dx_);
  return std::move(dx_);
}

/// Converts the exponentials of all sets to the same references.
void ShardPass::align() {
  auto& kernels = batch_.x.device().kernels();
  Tensor none;
  if (one_matrix()) {  // of equal sets, except the last
    Columns e(stored_[0], 0, columns());
    return kernels.softmax_align(rows_, sets_.front().count, tiles_, reference_, e, none);
  }
  for (int const round : {0, 1}) {  // the first finds the references, the second uses them
    int64_t tile = 0;
    for (size_t i = 0; i < sets_.size(); ++i) {
      auto e = columns(i);
      auto tiles = tiles_.rows(tile, tile + math::tiles_of(sets_[i].count));
      if (round == 0 || i + 1 < sets_.size())
        kernels.softmax_align(rows_, sets_[i].count, tiles, reference_, e, none);
      tile += tiles.size(0);
    }
  }
}

/// Sets the exponentials of targets.
void ShardPass::set_targets() {
  auto const set = [&](int64_t first, Columns e) {
    e.device().kernels().softmax_targets(first, batch_.labels, rows_, factors_, e);
  };
  if (one_matrix()) return set(sets_.front().first, {stored_[0], 0, columns()});
  for (size_t i = 0; i < sets_.size(); ++i) set(sets_[i].first, columns(i));
}

/// Prepares what the gradients of all sets share.
void ShardPass::begin_second_pass() {
  if (x_) return;
  auto& device = batch_.x.device();
  auto& kernels = device.kernels();
  x_ = batch_.x;
  if (options_.store && !sets_.empty()) align();
  if (folded() && !sets_.empty()) {
    factors_ = factors();
    x_ = clone(batch_.x);
    kernels.scale_rows(1, factors_, x_);
    set_targets();
  }
  if (!class_rows_.has_bias()) return;
  sums_ = filled(device, {batch_.x.size(0), 1}, batch_.x.dtype(), 1);
  if (factors_) kernels.convert(factors_, sums_);
}

/// Replaces the exponentials of set i by gradients.
void ShardPass::convert(size_t i, ClassWeights const& weights) {
  if (converted_[i]) return;
  auto e = columns(i);
  e.device().kernels().softmax_gradient_stored(batch_.rule, chunk(sets_[i], weights), batch_.labels,
                                               reference_, rows_, e);
  converted_[i] = true;
}

ShardPass::Gradient ShardPass::gradient(size_t i, ClassWeights const& weights,
                                        ChunkBuffers& buffers) {
  begin_second_pass();
  if (folded()) return {columns(i), x_, sums_};
  if (options_.store) {
    convert(i, weights);
    return {columns(i), x_, sums_};
  }
  auto const z = products(weights, buffers);
  auto g = buffers.gradient.take(z.device(), z.shape(), batch_.x.dtype());
  z.device().kernels().softmax_gradient(batch_.rule, chunk(sets_[i], weights), batch_.labels, z,
                                        rows_, g);
  return {g, x_, sums_};
}

bool ShardPass::add_whole_dx(Tensor& dx) {
  // Sums over this many classes at once.
  constexpr int64_t most = 1 << 20;
  auto const w = class_rows_.whole();
  if (!folded() || !one_matrix() || !w) return false;
  begin_second_pass();
  for (int64_t begin = 0; begin < columns(); begin += most) {
    int64_t const end = std::min(begin + most, columns());
    dx.device().kernels().matmul(Columns(stored_[0], begin, end - begin), Transpose::no,
                                 w.rows(begin, end), Transpose::no, 1, 1, dx);
  }
  return true;
}

void ShardPass::complete_dx(Tensor& dx) {
  if (factors_) dx.device().kernels().scale_rows(1, factors_, dx);
}

}  // namespace layers
