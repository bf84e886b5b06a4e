#include "layers/head/sharded_head.h"
#include <algorithm>
#include <limits>
#include "core/device.h"
#include "layers/head/merge_statistics.h"

namespace layers {
using core::Dtype;
using core::Tensor;
using core::Transpose;
using core::Var;

struct ShardedHead::Features {
  Tensor x;             ///< (B, D), in the dtype of matrix products
  Tensor norms;         ///< (B), Acc: norms of the features, for cosines
  comm::Counts counts;  ///< rows of each rank of this replica
  comm::Counts rows;    ///< rows of each replica

  int64_t most() const { return *std::max_element(rows.begin(), rows.end()); }
};

namespace {

/// Sizes of the largest shard. state: bytes per class.
HeadSizes sizes_of(core::Device const& device, comm::Communicator const& ranks,
                   ShardedHead::Options const& options, int64_t state, Dtype dtype) {
  return {.classes = (options.classes + ranks.size() - 1) / ranks.size(),
          .features = options.features,
          .state = state,
          .logit_bytes = static_cast<int64_t>(core::size_of(dtype)),
          .memory = options.memory,
          .on_host = device.on_host(),
          .cache = device.cache_bytes(),
          .capacity = device.capacity()};
}

/// Throws: core::Error for invalid options.
void check_options(ShardedHead::Options const& options) {
  check_head(options.classes, options.features);
  check_loss(options.loss, options.bias);
  core::check(options.chunk >= 0, "head: chunk ", options.chunk,
              "; must be 0 (automatic) or positive");
  core::check(options.passes == Passes::two || options.loss.smoothing == 0,
              "head: Passes::one with label smoothing, whose gradient is known only after all "
              "classes; use Passes::two");
}

ClassShard::Options rows_options(Context const& context, comm::Communicator const& ranks,
                                 ShardedHead::Options const& options) {
  check_options(options);
  ClassShard::Options rows{.classes = options.classes,
                           .features = options.features,
                           .bias = options.bias,
                           .moments = options.moments,
                           .storage = options.storage,
                           .init_std = options.init_std,
                           .cosine = options.loss.cosine(),
                           .unsampled = options.unsampled};
  auto const state = static_cast<int64_t>(ClassShard::bytes_a_class(rows, context.dtype));
  auto const copy = static_cast<int64_t>(ClassShard::copy_bytes(rows, context.dtype));
  auto const sizes = sizes_of(context.device, ranks, options, state, context.dtype);
  rows.copy = options.copy.value_or(sizes.has_room_for_copy(copy));
  return rows;
}

/// Total number of rows of ranks [first, last).
int64_t rows_between(comm::Counts const& counts, int first, int last) {
  return comm::begin_of(counts, last) - comm::begin_of(counts, first);
}

}  // namespace

ShardedHead::ShardedHead(Context const& context, comm::Communicator& ranks, Options const& options,
                         comm::Communicator* replicas)
    : options_(options),
      device_(context.device),
      dtype_(context.dtype),
      wide_(core::accumulator(context.dtype)),
      seed_(context.seed),
      ranks_(ranks),
      replicas_(replicas),
      rows_(context, ranks, rows_options(context, ranks, options)),
      margins_(device_, wide_, options.loss),
      weight_sum_(static_cast<double>(options.classes)),
      gradient_scale_(core::scalar(device_, 1)),
      sums_(filled(device_, {2}, Dtype::f64, 0)) {}

void ShardedHead::set_class_weights(Tensor const& weights) {
  core::check(weights.shape() == core::Shape{count()} && weights.dtype() == wide_,
              "head: class weights ", weights.shape(), ' ', weights.dtype(), " for ", count(),
              " classes of this rank; expected dtype ", wide_);
  class_weights_ = weights;
  Tensor sum = filled(device_, {1}, wide_, 0), total(device_, {1}, Dtype::f64);
  device_.kernels().sum_rows(weights.reshape({count(), 1}), sum);
  device_.kernels().convert(sum, total);
  ranks_.all_reduce(total, comm::Reduce::sum)->wait();
  device_.download(total, &weight_sum_);
}

void ShardedHead::set_step(HeadStep const& step) {
  check_deferred(step);
  check_rules(step, options_.moments);
  core::check(step.sampling_rate > 0 && step.sampling_rate <= 1, "head: sampling rate ",
              step.sampling_rate, "; must be in (0, 1]");
  if (step.sampling_rate < 1) check_sampling(step);
  step_ = step;
  device_.kernels().fill(0, sums_);
  waiting_.clear();
}

/// Rejects what class sampling does not support.
void ShardedHead::check_sampling(HeadStep const& step) const {
  core::check(options_.loss.smoothing == 0,
              "head: class sampling with label smoothing, which needs the logits of all classes");
  core::check(!step.summed,
              "head: class sampling with several batches per step, whose positive classes differ");
  core::check(replicas_ == nullptr,
              "head: class sampling with replicas, whose positive classes differ");
}

HeadSizes ShardedHead::sizes() const {
  return sizes_of(device_, ranks_, options_, static_cast<int64_t>(rows_.bytes_a_class()), dtype_);
}

int64_t ShardedHead::chunk(int64_t batch) const {
  return options_.chunk > 0 ? options_.chunk : sizes().chunk(batch);
}

bool ShardedHead::stores(int64_t batch) const {
  if (options_.logits != Logits::automatic) return options_.logits == Logits::store;
  return sizes().stores(batch);
}

std::string ShardedHead::describe(int64_t batch) const {
  bool const asked = options_.logits != Logits::automatic;
  return core::join("head: ", count(), " classes on this rank, ", chunk(batch), " per chunk",
                    rows_.has_copy() ? ", with a bf16 copy of the weights" : "", "; logits ",
                    stores(batch) ? "stored" : "recomputed", ": ", sizes().reason(batch, asked),
                    options_.passes == Passes::one ? "; dX in the first pass" : "");
}

std::vector<ClassSet> ShardedHead::all_sets(int64_t batch, double sampling_rate) const {
  std::vector<ClassSet> sets;
  // At most the whole shard: with few sampled classes, a set of one chunk may span any number of
  // classes.
  auto const step = static_cast<int64_t>(
      std::min(static_cast<double>(chunk(batch)) / sampling_rate, static_cast<double>(count())));
  for (int64_t first = 0; first < count(); first += step) {
    int64_t const last = std::min(first + step, count());
    sets.push_back({first, last, begin() + first, last - first, {}, {}});
  }
  return sets;
}

comm::Counts ShardedHead::of_this_replica(comm::Counts const& counts) const {
  if (replicas_ == nullptr) return counts;
  auto const first = counts.begin() + replicas_->rank() * ranks_.size();
  return {first, first + ranks_.size()};
}

comm::Counts ShardedHead::replica_rows(comm::Counts const& counts) const {
  comm::Counts rows;
  for (int first = 0; first < static_cast<int>(counts.size()); first += ranks_.size())
    rows.push_back(rows_between(counts, first, first + ranks_.size()));
  return rows;
}

ShardedHead::Features ShardedHead::gather(Tensor const& x, comm::Counts const& counts) {
  Features all{.counts = of_this_replica(counts), .rows = replica_rows(counts)};
  all.x = gather_rows(ranks_.named("features"), x, all.counts);
  all.norms = Tensor(device_, {all.x.size(0)}, wide_);
  if (!options_.loss.cosine()) return all;
  Tensor unit = core::empty_like(all.x);
  device_.kernels().l2_normalise(all.x, unit, all.norms);
  all.x = unit;
  return all;
}

Var ShardedHead::loss(core::Tape& tape, Var const& x, Tensor const& labels,
                      comm::Counts const& counts) {
  check_batch(x.value, labels, counts, options_.features, dtype_);
  auto const features = gather(x.value, counts);
  auto const all_labels = gather_rows(ranks_.named("labels"), labels, features.counts);
  auto const pass = begin_pass(features, all_labels, tape.training());
  auto const mean = mean_loss(*pass, all_labels, tape.training());
  return tape.record(mean, [this, &tape, x, pass, features](Tensor const&) {
    tape.add_grad(x, scatter(second_pass(pass), features));
  });
}

/// Product <x, w> of each row and its target (B), Acc.
Tensor ShardedHead::target_products(Features const& features, Tensor const& labels) {
  Tensor products(device_, {labels.count()}, wide_);
  device_.kernels().row_products(features.x, rows_.read_classes(labels), products);
  ranks_.named("target products")
      .all_reduce(products, comm::Reduce::sum)
      ->wait();  // ranks without the target contribute 0
  return products;
}

core::LogitRule ShardedHead::logit_rule(Features const& features, Tensor const& labels,
                                        bool training) {
  auto const products = margins_.needs_targets() ? target_products(features, labels) : Tensor{};
  if (replicas_ == nullptr || !margins_.memory() || !training)
    return margins_.of(features.norms, labels, products, training);
  // The running statistics are those of the whole batch; otherwise they would differ between
  // replicas.
  auto const all = [&](Tensor const& mine) {
    return mine ? gather_rows(replicas_->named("margins"), mine, features.rows) : mine;
  };
  auto rule = margins_.of(all(features.norms), all(labels), all(products), training);
  int const replica = replicas_->rank();
  auto const begin = comm::begin_of(features.rows, replica);
  auto const end = comm::begin_of(features.rows, replica + 1);
  rule.margins = rule.margins.rows(begin, end);
  if (rule.thresholds) rule.thresholds = rule.thresholds.rows(begin, end);
  return rule;
}

ShardedHead::PassPtr ShardedHead::begin_pass(Features const& features, Tensor const& labels,
                                             bool training) {
  ShardPass::Batch batch{.x = features.x, .labels = labels, .classes = labels};
  batch.rule = logit_rule(features, labels, training);
  double const rate = training ? step_.sampling_rate : 1;
  // Batches of one step use the same sets.
  auto sets = waiting_.empty() ? all_sets(features.most(), rate) : waiting_.front()->sets();
  if (rate < 1)
    batch.labels =
        draw_classes({seed_, step_.number, rate, options_.log_q}, rows_, labels, wide_, sets);
  bool const early = training && options_.passes == Passes::one;
  return std::make_shared<ShardPass>(
      rows_, std::move(batch), std::move(sets), class_weights_,
      ShardPass::Options{.store = training && stores(features.most()),
                         .early_dx = early,
                         .plain = options_.loss.smoothing == 0 && options_.loss.z_loss == 0});
}

/// Runs the first pass and merges the statistics of all ranks.
Tensor ShardedHead::mean_loss(ShardPass& pass, Tensor const& labels, bool training) {
  auto& kernels = device_.kernels();
  auto [rows, sums] = merge_statistics(ranks_.named("statistics"), options_.merge,
                                       {.smoothing = options_.loss.smoothing,
                                        .z_loss = options_.loss.z_loss,
                                        .classes = static_cast<double>(options_.classes),
                                        .weight_sum = weight_sum_},
                                       pass.statistics(), labels);
  Tensor loss(device_, {1}, wide_), none;
  if (replicas_ != nullptr) replicas_->named("loss").all_reduce(sums, comm::Reduce::sum)->wait();
  if (training && step_.summed) {
    kernels.accumulate(1, sums, sums_);
    kernels.softmax_mean(sums_, none, loss, gradient_scale_);
  } else {
    Tensor unused(device_, {1}, Dtype::f64);
    kernels.softmax_mean(sums, rows, loss, training ? gradient_scale_ : unused);
  }
  pass.set_rows(rows);
  return loss;
}

/// Returns dX (B, D), Acc, of this rank's classes. Updates the weights unless the update is
/// deferred.
Tensor ShardedHead::second_pass(PassPtr const& pass) {
  bool const early = options_.passes == Passes::one;
  if (early || step_.deferred) waiting_.push_back(pass);
  if (early) return pass->early_dx();
  auto dx = filled(device_, pass->x().shape(), wide_, 0);
  bool const complete = pass->add_whole_dx(dx);
  ChunkBuffers buffers;
  for (size_t i = 0; i < pass->sets().size(); ++i) {
    auto const weights = rows_.read(pass->sets()[i], buffers);
    auto const gradient = pass->gradient(i, weights, buffers);
    if (!complete)
      device_.kernels().matmul(gradient.g, Transpose::no, weights.w, Transpose::no, 1, 1, dx);
    if (step_.deferred) continue;
    auto sum = new_gradient(weights, buffers);
    add_weight_gradient(gradient, 0, sum);
    complete_weight_gradient(weights, sum);
    rows_.update(step_, gradient_scale_, pass->sets()[i], sum);
  }
  pass->complete_dx(dx);
  return dx;
}

/// Returns an uninitialized gradient of a set's weights.
ClassGradient ShardedHead::new_gradient(ClassWeights const& weights, ChunkBuffers& buffers) const {
  ClassGradient gradient{buffers.weight_gradient.take(device_, weights.w.shape(), wide_), {}};
  if (options_.bias) gradient.bias = Tensor(device_, {weights.w.size(0)}, wide_);
  return gradient;
}

/// sum := beta sum + the gradient of one batch.
void ShardedHead::add_weight_gradient(ShardPass::Gradient const& gradient, double beta,
                                      ClassGradient& sum) const {
  auto& kernels = device_.kernels();
  auto const& [g, x, sums] = gradient;
  kernels.matmul(g, Transpose::yes, x, Transpose::no, 1, beta, sum.w);
  if (!sum.bias) return;
  auto column = sum.bias.reshape({sum.bias.count(), 1});
  kernels.matmul(g, Transpose::yes, sums, Transpose::no, 1, beta, column);
}

/// Sums the gradient over replicas and converts it to that of the stored weights.
void ShardedHead::complete_weight_gradient(ClassWeights const& weights, ClassGradient& sum) {
  if (replicas_ != nullptr) {
    replicas_->named("weights' gradient").all_reduce(sum.w, comm::Reduce::sum)->wait();
    if (sum.bias)
      replicas_->named("weights' gradient").all_reduce(sum.bias, comm::Reduce::sum)->wait();
  }
  rows_.to_kept(weights, sum.w);
}

/// Calls f(set, gradient) for the batches whose update is pending.
template <class F>
void ShardedHead::each_waiting_gradient(F const& f) {
  if (waiting_.empty()) return;
  auto const& sets = waiting_.front()->sets();
  ChunkBuffers buffers;
  for (size_t i = 0; i < sets.size(); ++i) {
    auto const weights = rows_.read(sets[i], buffers);
    auto sum = new_gradient(weights, buffers);
    for (auto const& pass : waiting_)
      add_weight_gradient(pass->gradient(i, weights, buffers), pass == waiting_.front() ? 0 : 1,
                          sum);
    complete_weight_gradient(weights, sum);
    f(sets[i], sum);
  }
}

void ShardedHead::add_gradient_squared_norm(Tensor& sum) {
  Tensor mine = filled(device_, {1}, Dtype::f64, 0);
  each_waiting_gradient([&](ClassSet const&, ClassGradient const& gradient) {
    device_.kernels().add_squared_norm(gradient.w, mine);
    if (gradient.bias) device_.kernels().add_squared_norm(gradient.bias, mine);
  });
  ranks_.named("gradient norm").all_reduce(mine, comm::Reduce::sum)->wait();
  device_.kernels().accumulate(1, mine, sum);
}

void ShardedHead::finish() {
  each_waiting_gradient([&](ClassSet const& set, ClassGradient const& gradient) {
    rows_.update(step_, gradient_scale_, set, gradient);
  });
  waiting_.clear();
}

/// Sums dX over ranks, and meanwhile applies pending updates. Returns this rank's rows, as the
/// gradient of the features, in the products' dtype.
Tensor ShardedHead::scatter(Tensor const& dx, Features const& features) {
  auto const begin = comm::begin_of(features.counts, ranks_.rank());
  auto const end = comm::begin_of(features.counts, ranks_.rank() + 1);
  Tensor mine(device_, {end - begin, dx.size(1)}, wide_);
  auto const sum = ranks_.named("features' gradient").reduce_scatter(dx, features.counts, mine);
  if (!step_.deferred) finish();  // with Passes::one: the update runs beside the sum over ranks
  sum->wait();
  if (options_.loss.cosine())
    device_.kernels().l2_normalise_backward(features.x.rows(begin, end),
                                            features.norms.rows(begin, end), mine, mine);
  if (mine.dtype() == dtype_) return mine;
  Tensor narrow(device_, mine.shape(), dtype_);
  device_.kernels().convert(mine, narrow);
  return narrow;
}

TopK ShardedHead::top_k(Tensor const& x, comm::Counts const& counts, int k) {
  core::check(k > 0, "head: top_k needs a positive k, not ", k);
  auto const features = gather(x, counts);
  auto& kernels = device_.kernels();
  int64_t const batch = features.x.size(0);
  Tensor scores(device_, {batch, k}, wide_), best(device_, {batch, k}, Dtype::i64);
  kernels.fill(-std::numeric_limits<double>::infinity(), scores);
  kernels.fill(-1, best);
  ChunkBuffers buffers;
  for (int64_t first = 0, step = chunk(batch); first < count(); first += step) {
    int64_t const last = std::min(first + step, count());
    auto const weights = rows_.read({first, last, begin() + first, last - first, {}, {}}, buffers);
    auto z = buffers.products.take(device_, {batch, last - first}, wide_);
    kernels.matmul(features.x, Transpose::no, weights.w, Transpose::yes, 1, 0, z);
    if (weights.bias) kernels.add_bias(weights.bias, z);
    kernels.top_k(z, begin() + first, scores, best);
  }
  kernels.scale(options_.loss.scale, scores);
  auto const top = merge_top_k(ranks_, scores, best);
  if (replicas_ == nullptr) return top;
  return join_top_k(*replicas_, device_, top, features.rows);
}

std::vector<Head::State> ShardedHead::state() {
  auto all = rows_.state();
  if (margins_.memory()) all.push_back({"head.margin", margins_.memory()});
  return all;
}

}  // namespace layers
