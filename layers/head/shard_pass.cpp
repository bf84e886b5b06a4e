#include "layers/head/shard_pass.h"
#include "core/device.h"

namespace layers {
using core::Tensor;
using core::Transpose;

ShardPass::ShardPass(ClassShard const& rows, Batch batch, std::vector<ClassSet> sets,
                     Tensor const& class_weights, Options const& options)
    : class_rows_(rows),
      batch_(std::move(batch)),
      sets_(std::move(sets)),
      class_weights_(class_weights),
      options_(options),
      wide_(core::accumulator(batch_.x.dtype())) {}

/// Returns the products (B, n), Acc.
Tensor ShardPass::products(ClassWeights const& weights) const {
  auto const& x = batch_.x;
  Tensor z(x.device(), {x.size(0), weights.w.size(0)}, wide_);
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

Tensor ShardPass::statistics() {
  auto const& x = batch_.x;
  auto& kernels = x.device().kernels();
  Tensor stats(x.device(), {x.size(0), core::math::RowStatistics::count}, wide_);
  kernels.softmax_begin(stats);
  if (options_.early_dx) {
    dx_ = Tensor(x.device(), x.shape(), wide_);
    kernels.fill(0, dx_);
  }
  if (options_.store) stored_.resize(sets_.size());
  for (size_t i = 0; i < sets_.size(); ++i) {
    auto const weights = class_rows_.read(sets_[i]);
    auto const z = products(weights);
    if (options_.store || options_.early_dx)
      keep(i, weights, z, stats);
    else
      kernels.softmax_statistics(batch_.rule, chunk(sets_[i], weights), batch_.labels, z, stats);
  }
  return stats;
}

/// First pass over a set whose exponentials are used again.
void ShardPass::keep(size_t i, ClassWeights const& weights, Tensor const& z, Tensor& stats) {
  auto& device = z.device();
  Tensor e(device, z.shape(), batch_.x.dtype()), reference(device, {z.size(0)}, wide_);
  Tensor rescale(device, {z.size(0)}, wide_);
  device.kernels().softmax_exponentials(batch_.rule, chunk(sets_[i], weights), batch_.labels, z,
                                        stats, e, reference, rescale);
  if (options_.early_dx) {
    device.kernels().scale_rows(1, rescale, dx_);
    device.kernels().matmul(e, Transpose::no, weights.w, Transpose::no, 1, 1, dx_);
    reference_ = reference;
  }
  if (options_.store) stored_[i] = {e, reference};
}

/// Turns the sums of exp(z - reference) dz/dp w into gradients: multiplies each row by the softmax
/// factor of a class whose exponential is 1, and adds the term of the target.
Tensor ShardPass::early_dx() {
  if (sets_.empty()) return std::move(dx_);
  auto& device = dx_.device();
  auto& kernels = device.kernels();
  int64_t const batch = dx_.size(0);
  Tensor factors(device, {batch, 1}, wide_), targets(device, {batch, 1}, wide_);
  Tensor nowhere(device, {batch}, core::Dtype::i64);
  kernels.fill(-1, nowhere);
  kernels.fill(1, factors);
  kernels.softmax_gradient_stored(batch_.rule, {}, nowhere, reference_, rows_, factors);
  kernels.scale_rows(1, factors.reshape({batch}), dx_);
  kernels.copy_columns(rows_, core::math::RowGradient::target, 1, targets, 0);
  kernels.accumulate_rows(targets.reshape({batch}), class_rows_.read_classes(batch_.classes), dx_);
  return std::move(dx_);
}

Tensor ShardPass::gradient(size_t i, ClassWeights const& weights) {
  auto& kernels = batch_.x.device().kernels();
  auto const part = chunk(sets_[i], weights);
  if (options_.store) {
    auto& [values, reference] = stored_[i];
    if (reference)
      kernels.softmax_gradient_stored(batch_.rule, part, batch_.labels, reference, rows_, values);
    reference = {};
    return values;
  }
  auto const z = products(weights);
  Tensor g(z.device(), z.shape(), batch_.x.dtype());
  kernels.softmax_gradient(batch_.rule, part, batch_.labels, z, rows_, g);
  return g;
}

}  // namespace layers
