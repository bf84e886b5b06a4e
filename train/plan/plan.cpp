#include "train/plan/plan.h"
#include <algorithm>
#include "comm/dry.h"
#include "layers/head/sharded_head.h"
#include "train/trainer/traffic.h"
#include "train/trainer/trainer.h"

namespace train {
namespace {

using core::dry::DryRunDevice;

constexpr char const* images = "images and labels";

/// Wraps a trunk to attribute the device's allocations and work to its forward and backward pass.
class BookedTrunk final : public layers::Trunk {
 public:
  BookedTrunk(std::unique_ptr<layers::Trunk> trunk, DryRunDevice& device)
      : trunk_(std::move(trunk)), device_(device) {}

  core::Var forward(core::Tape& tape, core::Var const& x) override {
    device_.enter("trunk activations");
    device_.begin_phase("trunk forward");
    auto const y = trunk_->forward(tape, x);
    return tape.record(y.value, [this, &tape, y](core::Tensor const& dy) {
      device_.enter("trunk gradients");
      device_.begin_phase("trunk backward");
      tape.add_grad(y, dy);
    });
  }
  void visit_parameters(Visit const& visit) override { trunk_->visit_parameters(visit); }
  int64_t features() const override { return trunk_->features(); }
  int64_t channels() const override { return trunk_->channels(); }

 private:
  std::unique_ptr<layers::Trunk> trunk_;
  DryRunDevice& device_;
};

/// Wraps a head in the same way.
class BookedHead final : public layers::Head {
 public:
  BookedHead(std::unique_ptr<layers::Head> head, DryRunDevice& device)
      : head_(std::move(head)), device_(device) {}

  int64_t classes() const override { return head_->classes(); }
  void set_step(layers::HeadStep const& step) override { head_->set_step(step); }
  core::Var loss(core::Tape& tape, core::Var const& x, core::Tensor const& labels,
                 comm::Counts const& counts) override {
    enter("head forward");
    auto const mean = head_->loss(tape, x, labels, counts);
    return tape.record(mean.value, [this, &tape, mean](core::Tensor const& seed) {
      enter("head backward");
      tape.add_grad(mean, seed);
    });
  }
  core::Tensor gradient_scale() override { return head_->gradient_scale(); }
  void add_gradient_squared_norm(core::Tensor& sum) override {
    enter("gradient norm");
    head_->add_gradient_squared_norm(sum);
  }
  void finish() override {
    enter("head update");
    head_->finish();
    device_.enter("trunk gradients");
    device_.begin_phase("trunk update");
  }
  layers::TopK top_k(core::Tensor const& x, comm::Counts const& counts, int k) override {
    return head_->top_k(x, counts, k);
  }
  std::vector<State> state() override { return head_->state(); }
  void refresh() override { head_->refresh(); }
  std::string describe(int64_t batch) const override { return head_->describe(batch); }
  int64_t chunk(int64_t batch) const override { return head_->chunk(batch); }

 private:
  void enter(char const* phase) {
    device_.enter("head: buffers of a chunk and of dX");
    device_.begin_phase(phase);
  }

  std::unique_ptr<layers::Head> head_;
  DryRunDevice& device_;
};

/// Attributes the tensors that exist before the first step.
void book_state(Trainer& trainer, Model const& model, DryRunDevice& device) {
  for (auto const& [name, tensor] : trainer.snapshot(model.head->classes()).trunk)
    device.assign(tensor, "trunk optimizer state");
  for (auto const* p : layers::parameters(*model.trunk)) {
    if (p->compute.dtype() != p->value.dtype()) device.assign(p->compute, "trunk compute copies");
    device.assign(p->value, "trunk weights");
  }
  for (auto const& [name, tensor] : model.head->state()) {
    bool const weights = name == "head.weight" || name == "head.bias";
    if (tensor.count() > 0)
      device.assign(tensor, weights ? "head weights" : "head optimizer state");
  }
}

/// Sizes of the groups that comm::Mesh creates, in its order.
std::vector<int> groups(Experiment const& experiment, int ranks) {
  if (!experiment.head.shards || ranks % *experiment.head.shards != 0) return {};
  return {*experiment.head.shards, ranks / *experiment.head.shards};
}

/// Rank 0's share of a batch, with uninitialized contents.
Batch batch_of(Experiment const& experiment, PlanSizes const& sizes, core::Device& host) {
  Batch batch;
  batch.counts = comm::split_evenly(experiment.data.global_batch_size, sizes.ranks);
  auto const& [height, width, channels] = sizes.image;
  batch.images = {host, {batch.counts[0], height, width, channels}, core::Dtype::f32};
  batch.labels = {host, {batch.counts[0]}, core::Dtype::i64};
  return batch;
}

int64_t bytes_of(Batch const& batch) {
  return static_cast<int64_t>(batch.images.bytes() + batch.labels.bytes());
}

/// Parts under their display names. Parts that carry the label of a collective are merged.
core::dry::Parts named_parts(core::dry::Parts const& booked) {
  core::dry::Parts parts;
  for (auto const& [name, bytes] : booked) {
    bool const is_part = name.starts_with("trunk ") || name.starts_with("head") || name == images ||
                         name == "exponentials" || name == "other";
    parts[is_part ? name : name == "features" ? "gathered features" : "collectives"] += bytes;
  }
  return parts;
}

/// Fills in the members of the plan that do not depend on a step.
void describe(Experiment const& experiment, Model const& model, StepPlan& plan) {
  int64_t const rows = experiment.data.global_batch_size / experiment.optimizer.accumulation_steps /
                       model.mesh->replicas().size();
  plan.dtype = model.dtype;
  plan.features = model.trunk->features();
  plan.rows = rows;
  plan.head = model.head->describe(rows);
  plan.chunk = std::min(model.head->chunk(rows), model.head->classes());
}

}  // namespace

StepPlan plan_step(Experiment experiment, PlanSizes const& sizes) {
  experiment.run.profile = false;  // profiling synchronizes the device but uses no memory
  DryRunDevice device(sizes.device), host(sizes.device);
  comm::DryRunCommunicator ranks(device, sizes.ranks, groups(experiment, sizes.ranks));
  auto model = make_model(experiment, device, ranks, sizes.image, sizes.classes);
  StepPlan plan;
  describe(experiment, model, plan);
  plan.gpu = !device.on_host();
  auto traffic_sizes = step_sizes(experiment, model, sizes.ranks);
  traffic_sizes.batch = experiment.data.global_batch_size;
  plan.traffic = traffic_by_formula(traffic_sizes);
  model.trunk = std::make_unique<BookedTrunk>(std::move(model.trunk), device);
  model.head = std::make_unique<BookedHead>(std::move(model.head), device);

  device.enter("trunk gradients");
  Trainer trainer(experiment, device, ranks, model, 2);
  book_state(trainer, model, device);
  auto const batch = batch_of(experiment, sizes, host);
  plan.loader = (experiment.data.prefetch_batches + 1) * bytes_of(batch);
  size_t between_steps = 0;
  for (int step = 0; step < 2; ++step) {  // the first step allocates lazily created state
    between_steps = device.memory().now;
    device.reset();
    device.enter(images);
    device.begin_phase("");
    trainer.step(batch);
  }
  plan.peak = static_cast<int64_t>(device.memory().peak);
  plan.temporary = plan.peak - static_cast<int64_t>(between_steps);
  plan.parts_at_peak = named_parts(device.parts_at_peak());
  plan.peak_of_parts = named_parts(device.peak_of_parts());
  plan.stretches = device.stretches();
  plan.transfers = device.transfers();
  return plan;
}

int64_t most_classes(Experiment experiment, PlanSizes sizes, int64_t memory) {
  // The file has a fixed number of classes; the tensor is small compared to the others.
  experiment.head.class_weights.clear();
  auto const peak = [&](int64_t classes) {
    sizes.classes = classes;
    return plan_step(experiment, sizes).peak;
  };
  int64_t fits = experiment.head.shards.value_or(sizes.ranks);
  if (peak(fits) > memory) return 0;
  int64_t too_many = 2 * fits;
  while (peak(too_many) <= memory) {
    fits = too_many;
    too_many *= 2;
  }
  while (too_many - fits > std::max<int64_t>(1, fits / 100)) {
    int64_t const middle = fits + (too_many - fits) / 2;
    (peak(middle) <= memory ? fits : too_many) = middle;
  }
  return fits;
}

std::vector<Suggestion> suggestions(Experiment const& experiment, PlanSizes const& sizes,
                                    int64_t peak) {
  std::vector<Suggestion> all;
  auto const consider = [&](std::string const& change, auto const& apply) {
    Experiment changed = experiment;
    PlanSizes other = sizes;
    apply(changed, other);
    int64_t const then = plan_step(changed, other).peak;
    if (then < peak) all.push_back({change, then});
  };
  bool const sharded = experiment.head.kind != HeadKind::row_parallel;
  if (sharded && experiment.head.logits != layers::Logits::recompute)
    consider("head.logits=recompute",
             [](auto& x, auto&) { x.head.logits = layers::Logits::recompute; });
  if (sharded && experiment.head.storage == layers::Storage::f32)
    consider("head.storage=bf16_moments",
             [](auto& x, auto&) { x.head.storage = layers::Storage::bf16_moments; });
  if (sharded && experiment.head.storage != layers::Storage::bf16)
    consider("head.storage=bf16", [](auto& x, auto&) { x.head.storage = layers::Storage::bf16; });
  if (experiment.optimizer.kind == OptimizerKind::sgd && experiment.optimizer.momentum > 0 &&
      !experiment.optimizer.nesterov)
    consider("optimizer.momentum=0", [](auto& x, auto&) { x.optimizer.momentum = 0; });
  if (experiment.data.global_batch_size >= 2 * sizes.ranks) {
    int64_t const half = experiment.data.global_batch_size / 2;
    consider(core::join("data.global_batch_size=", half),
             [=](auto& x, auto&) { x.data.global_batch_size = half; });
  }
  int const parts = 2 * experiment.optimizer.accumulation_steps;
  if (experiment.head.sampling.rate == 1 &&
      experiment.data.global_batch_size >= parts * sizes.ranks)
    consider(core::join("optimizer.accumulation_steps=", parts),
             [=](auto& x, auto&) { x.optimizer.accumulation_steps = parts; });
  bool const samples = sharded && experiment.head.sampling.rate == 1 &&
                       experiment.head.label_smoothing == 0 && !experiment.head.shards &&
                       experiment.optimizer.accumulation_steps == 1;
  if (samples)
    consider("head.sampling.rate=0.1", [](auto& x, auto&) { x.head.sampling.rate = 0.1; });
  if (!experiment.head.shards && 2 * sizes.ranks <= sizes.classes)
    consider(core::join("--ranks ", 2 * sizes.ranks), [](auto&, auto& s) { s.ranks *= 2; });
  std::ranges::sort(all, {}, &Suggestion::peak);
  return all;
}

}  // namespace train
