#include "layers/head/class_shard.h"
#include <algorithm>
#include "core/device.h"

namespace layers {
using core::Dtype;
using core::Tensor;
using core::UpdateState;

namespace {

/// Calls f(member of a, member of b) for each array that `a` has.
template <class A, class B, class F>
void each_array(A& a, B& b, F const& f) {
  for (auto const member :
       {&UpdateState::w, &UpdateState::first, &UpdateState::second, &UpdateState::copy})
    if (a.*member) f(a.*member, b.*member);
}

/// Gathers rows of a tensor. `places`: row numbers, counted from `first`.
Tensor gathered(Tensor const& x, Tensor const& places, int64_t first = 0) {
  core::Shape shape = x.shape();
  shape[0] = places.count();
  Tensor rows(x.device(), shape, x.dtype());
  x.device().kernels().gather_rows(x, places, first, rows);
  return rows;
}

constexpr int64_t rows_at_once = 4096;  ///< rows initialized in Acc before they are rounded

}  // namespace

ClassShard::ClassShard(Context const& c, comm::Communicator& ranks, Options const& options)
    : options_(options), device_(c.device), products_(c.dtype) {
  auto const counts = comm::split_evenly(options.classes, ranks.size());
  begin_ = comm::begin_of(counts, ranks.rank());
  count_ = counts[static_cast<size_t>(ranks.rank())];
  Dtype const wide = core::accumulator(c.dtype);
  core::check(wide == Dtype::f32 || options.storage == Storage::f32,
              "head: bf16 storage with dtype f64; f64 requires Storage::f32");
  Dtype const moment = options.storage == Storage::f32 ? wide : Dtype::bf16;
  weight_.w = Tensor(device_, {count_, options.features},
                     options.storage == Storage::bf16 ? Dtype::bf16 : wide);
  if (options.bias) bias_.w = filled(device_, {count_}, wide, 0);
  auto const keep = [&](UpdateState& state, Dtype dtype) {
    if (!state.w) return;
    if (options.moments != Moments::none) state.first = filled(device_, state.w.shape(), dtype, 0);
    if (options.moments == Moments::both) state.second = filled(device_, state.w.shape(), dtype, 0);
  };
  keep(weight_, moment);
  keep(bias_, wide);
  for (int64_t row = 0; row < count_; row += rows_at_once) {
    auto part = weight_.w.rows(row, std::min(row + rows_at_once, count_));
    Tensor start(device_, part.shape(), wide);
    device_.kernels().random_normal({c.seed, core::Purpose::head_weights, 0},
                                    (begin_ + row) * options.features, 0, options.init_std, start);
    device_.kernels().convert(start, part);
  }
  if (options.copy && copy_bytes(options, c.dtype) > 0)
    weight_.copy = Tensor(device_, weight_.w.shape(), Dtype::bf16);
  refresh();
}

void ClassShard::refresh() {
  if (weight_.copy) device_.kernels().convert(weight_.w, weight_.copy);
}

Tensor ClassShard::whole() const {
  bool const stored = !options_.cosine && read_weight().dtype() == products_;
  return stored ? read_weight() : Tensor{};
}

size_t ClassShard::copy_bytes(Options const& options, Dtype dtype) {
  bool const rounds = dtype == Dtype::bf16 && options.storage != Storage::bf16;
  return rounds && !options.cosine ? static_cast<size_t>(options.features) * sizeof(core::bf16) : 0;
}

size_t ClassShard::bytes_a_class(Options const& options, Dtype dtype) {
  size_t const wide = core::size_of(core::accumulator(dtype)), narrow = sizeof(core::bf16);
  size_t const weight = options.storage == Storage::bf16 ? narrow : wide;
  size_t const moment = options.storage == Storage::f32 ? wide : narrow;
  size_t const moments = options.moments == Moments::none       ? 0
                         : options.moments == Moments::velocity ? 1
                                                                : 2;
  size_t const bias = options.bias ? (1 + moments) * wide : 0;
  return static_cast<size_t>(options.features) * (weight + moments * moment) + bias +
         (options.copy ? copy_bytes(options, dtype) : 0);
}

Tensor ClassShard::kept_rows(ClassSet const& set) const {
  auto const rows = read_weight().rows(set.begin, set.end);
  return set.sampled ? gathered(rows, set.sampled) : rows;
}

ClassWeights ClassShard::for_products(Tensor const& kept, ChunkBuffers& buffers) const {
  ClassWeights weights;
  Dtype const wide = core::accumulator(products_);
  if (!options_.cosine && kept.dtype() == products_) return {kept, {}, {}};
  weights.w = buffers.weights.take(device_, kept.shape(), products_);
  if (!options_.cosine) {
    device_.kernels().convert(kept, weights.w);
    return weights;
  }
  weights.norm = buffers.norms.take(device_, {kept.size(0)}, wide);
  Tensor from = kept;
  if (kept.dtype() != wide && products_ == wide) {  // bf16 storage with f32 products
    from = Tensor(device_, kept.shape(), wide);
    device_.kernels().convert(kept, from);
  }
  device_.kernels().l2_normalise(from, weights.w, weights.norm);
  return weights;
}

ClassWeights ClassShard::read(ClassSet const& set, ChunkBuffers& buffers) const {
  auto weights = for_products(kept_rows(set), buffers);
  weights.bias = set.shift;
  if (!bias_.w) return weights;
  weights.bias = bias_.w.rows(set.begin, set.end);
  if (set.sampled) weights.bias = gathered(weights.bias, set.sampled);
  if (!set.shift) return weights;
  Tensor shifted = core::empty_like(set.shift);
  device_.kernels().add(weights.bias, set.shift, shifted);
  weights.bias = shifted;
  return weights;
}

Tensor ClassShard::read_classes(Tensor const& classes) const {
  ChunkBuffers buffers;
  return for_products(gathered(read_weight(), classes, begin_), buffers).w;
}

void ClassShard::to_kept(ClassWeights const& weights, Tensor& dw) const {
  if (options_.cosine) device_.kernels().l2_normalise_backward(weights.w, weights.norm, dw, dw);
}

UpdateState ClassShard::rows_of(UpdateState const& whole, int64_t begin, int64_t end) const {
  UpdateState part;
  each_array(whole, part, [=](Tensor const& all, Tensor& rows) { rows = all.rows(begin, end); });
  return part;
}

void ClassShard::update_rows(HeadStep const& step, Tensor const& gradient_scale, int64_t first_row,
                             ClassGradient const& gradient, UpdateState& weight,
                             UpdateState& bias) const {
  auto& kernels = device_.kernels();
  auto rule = step.weight, bias_rule = step.bias;
  rule.gradient_scale = bias_rule.gradient_scale = gradient_scale;
  Tensor trust;
  if (step.trust_coefficient > 0) {
    trust = Tensor(device_, {weight.w.size(0)}, gradient.w.dtype());
    kernels.lars_trust_ratio(step.trust_coefficient, rule.decay, gradient_scale, gradient.w,
                             weight.w, trust);
  }
  kernels.update(rule, first_row, trust, gradient.w, weight);
  if (bias.w) kernels.update(bias_rule, first_row, {}, gradient.bias, bias);
}

void ClassShard::update(HeadStep const& step, Tensor const& gradient_scale, ClassSet const& set,
                        ClassGradient const& gradient) {
  if (set.sampled) return update_sampled(step, gradient_scale, set, gradient);
  auto weight = rows_of(weight_, set.begin, set.end), bias = rows_of(bias_, set.begin, set.end);
  update_rows(step, gradient_scale, begin_ + set.begin, gradient, weight, bias);
}

void ClassShard::update_sampled(HeadStep const& step, Tensor const& gradient_scale,
                                ClassSet const& set, ClassGradient const& gradient) {
  auto& kernels = device_.kernels();
  auto weight = rows_of(weight_, set.begin, set.end), bias = rows_of(bias_, set.begin, set.end);
  if (options_.unsampled == UnsampledRows::dense) {
    auto const spread = [&](Tensor const& from, Tensor const& like) {
      if (!from) return Tensor{};
      auto to = filled(device_, like.shape(), from.dtype(), 0);
      kernels.scatter_rows(from, set.sampled, to);
      return to;
    };
    ClassGradient const whole{spread(gradient.w, weight.w), spread(gradient.bias, bias.w)};
    return update_rows(step, gradient_scale, begin_ + set.begin, whole, weight, bias);
  }
  auto const take = [&](Tensor const& all, Tensor& rows) { rows = gathered(all, set.sampled); };
  auto const put_back = [&](Tensor const& rows, Tensor& all) {
    kernels.scatter_rows(rows, set.sampled, all);
  };
  UpdateState sampled, sampled_bias;
  each_array(weight, sampled, take);
  each_array(bias, sampled_bias, take);
  update_rows(step, gradient_scale, begin_ + set.begin, gradient, sampled, sampled_bias);
  each_array(sampled, weight, put_back);
  each_array(sampled_bias, bias, put_back);
}

std::vector<Head::State> ClassShard::state() const { return named_state(weight_, bias_); }

}  // namespace layers
