#include "train/model/make_head.h"
#include "core/device.h"
#include "train/errors.h"
#include "train/formats/tensor_file.h"

namespace train {
namespace {

using layers::HeadLoss;

/// head.margin if set, else the value from the publication of the head.
double margin_or(HeadConfig const& config, double published) {
  return config.margin.value_or(published);
}

HeadLoss by_kind(HeadConfig const& config) {
  switch (config.kind) {
    case HeadKind::softmax:
    case HeadKind::row_parallel:
      return {};
    case HeadKind::normface:
      return HeadLoss::normface(config.scale);
    case HeadKind::cosface:
      return HeadLoss::cosface(config.scale, margin_or(config, 0.4));
    case HeadKind::arcface:
      return HeadLoss::arcface(config.scale, margin_or(config, 0.5));
    case HeadKind::sphereface:
      return HeadLoss::sphereface(config.scale, margin_or(config, 1.35));
    case HeadKind::combined:
      return HeadLoss::combined(config.scale, config.m1, config.m2, config.m3);
    case HeadKind::adaface:
      return HeadLoss::adaface(config.scale, margin_or(config, 0.4), config.adaface_h);
    case HeadKind::curricularface:
      return HeadLoss::curricularface(config.scale, margin_or(config, 0.5));
  }
  core::fail("unknown head.kind");
}

/// This rank's part of the class weights in a file.
core::Tensor read_class_weights(std::string const& path, layers::ShardedHead const& head,
                                core::Device& device) {
  SafetensorsReader const file(path);
  if (!file.contains("weights") || file.entry("weights").shape != core::Shape{head.classes()})
    throw ConfigError(core::join("head.class_weights: ", path,
                                 " must contain a tensor 'weights' of shape (", head.classes(),
                                 "), one weight per class"));
  auto const values = read_floats(file, "weights", head.begin(), head.count());
  for (size_t i = 0; i < values.size(); ++i)
    if (!(values[i] >= 0 && std::isfinite(values[i])))
      throw BadData(core::join(path, ": invalid weight of class ",
                               head.begin() + static_cast<int64_t>(i), ": ", values[i]));
  core::Tensor mine(device, {head.count()}, core::Dtype::f32);
  device.upload(values.data(), mine);
  return mine;
}

/// Bytes of memory for the head of a rank, the same on every rank; 0: unknown. Of a GPU, what is
/// free now on the fullest. Ranks whose memory is the host's are assumed to share one host.
int64_t memory_for_head(core::Device& device, comm::Communicator& ranks) {
  if (device.on_host()) return device.capacity() / ranks.size();
  auto const mine = static_cast<double>(device.free_memory());
  auto least = core::scalar(device, -mine);
  ranks.all_reduce(least, comm::Reduce::max)->wait();
  double found = 0;
  device.download(least, &found);
  return static_cast<int64_t>(found < 0 ? -found : mine);  // a dry run downloads zeros
}

}  // namespace

HeadLoss head_loss(HeadConfig const& config) {
  HeadLoss loss = by_kind(config);
  loss.smoothing = config.label_smoothing;
  loss.z_loss = config.z_loss;
  loss.gradient = config.margin_gradient;
  if (config.interclass_filter < 1) loss.filter = config.interclass_filter;
  return loss;
}

layers::Moments moments_of(OptimizerConfig const& config) {
  if (config.kind == OptimizerKind::adam || config.kind == OptimizerKind::adamw)
    return layers::Moments::both;
  return config.momentum > 0 ? layers::Moments::velocity : layers::Moments::none;
}

std::unique_ptr<layers::ShardedHead> make_sharded_head(layers::Context const& context,
                                                       Experiment const& experiment,
                                                       comm::Mesh& mesh, int64_t features,
                                                       int64_t classes) {
  layers::ShardedHead::Options options{.classes = classes, .features = features};
  options.bias = experiment.head.bias;
  options.moments = moments_of(experiment.optimizer);
  options.storage = experiment.head.storage;
  options.loss = head_loss(experiment.head);
  options.chunk = experiment.head.chunk.value_or(0);
  options.logits = experiment.head.logits;
  options.passes = experiment.head.passes;
  options.unsampled = experiment.head.sampling.unsampled_rows;
  options.log_q = experiment.head.sampling.log_q;
  options.init_std = experiment.head.init_std;
  options.memory = memory_for_head(context.device, mesh.world());
  auto* const replicas = mesh.replicas().size() > 1 ? &mesh.replicas() : nullptr;
  auto head = std::make_unique<layers::ShardedHead>(context, mesh.shards(), options, replicas);
  if (!experiment.head.class_weights.empty())
    head->set_class_weights(
        read_class_weights(experiment.head.class_weights, *head, context.device));
  return head;
}

}  // namespace train
