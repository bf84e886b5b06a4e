#include "train/model/make_head.h"
#include "core/cpu/device.h"
#include "train/errors.h"
#include "train/formats/tensor_file.h"

namespace train {
namespace {

using layers::HeadLoss;

/// The margin given, or the one of the head's publication.
double margin_or(HeadConfig const& c, double published) { return c.margin.value_or(published); }

HeadLoss by_kind(HeadConfig const& c) {
  switch (c.kind) {
    case HeadKind::softmax:
    case HeadKind::row_parallel:
      return {};
    case HeadKind::normface:
      return HeadLoss::normface(c.scale);
    case HeadKind::cosface:
      return HeadLoss::cosface(c.scale, margin_or(c, 0.4));
    case HeadKind::arcface:
      return HeadLoss::arcface(c.scale, margin_or(c, 0.5));
    case HeadKind::sphereface:
      return HeadLoss::sphereface(c.scale, margin_or(c, 1.35));
    case HeadKind::combined:
      return HeadLoss::combined(c.scale, c.m1, c.m2, c.m3);
    case HeadKind::adaface:
      return HeadLoss::adaface(c.scale, margin_or(c, 0.4), c.adaface_h);
    case HeadKind::curricularface:
      return HeadLoss::curricularface(c.scale, margin_or(c, 0.5));
  }
  core::fail("no such head");
}

/// This rank's part of the weights in a file.
core::Tensor read_class_weights(std::string const& path, layers::ShardedHead const& head,
                                core::Device& device) {
  SafetensorsReader const file(path);
  if (!file.contains("weights") || file.entry("weights").shape != core::Shape{head.classes()})
    throw ConfigError(core::join("head.class_weights: ", path, " must have a tensor 'weights' of (",
                                 head.classes(), "), one for each class"));
  auto const values = read_floats(file, "weights", head.begin(), head.count());
  for (size_t i = 0; i < values.size(); ++i)
    if (!(values[i] >= 0 && std::isfinite(values[i])))
      throw BadData(core::join(path, ": the weight of class ",
                               head.begin() + static_cast<int64_t>(i), " is ", values[i]));
  core::Tensor mine(device, {head.count()}, core::Dtype::f32);
  device.upload(values.data(), mine);
  return mine;
}

}  // namespace

HeadLoss head_loss(HeadConfig const& c) {
  HeadLoss loss = by_kind(c);
  loss.smoothing = c.label_smoothing;
  loss.z_loss = c.z_loss;
  loss.gradient = c.margin_gradient;
  if (c.interclass_filter < 1) loss.filter = c.interclass_filter;
  return loss;
}

layers::Moments moments_of(OptimizerConfig const& c) {
  if (c.kind == OptimizerKind::adam || c.kind == OptimizerKind::adamw) return layers::Moments::both;
  return c.momentum > 0 ? layers::Moments::velocity : layers::Moments::none;
}

std::unique_ptr<layers::ShardedHead> make_sharded_head(layers::Context const& c,
                                                       Experiment const& e, comm::Mesh& mesh,
                                                       int64_t features, int64_t classes) {
  layers::ShardedHead::Options o{.classes = classes, .features = features};
  o.bias = e.head.bias;
  o.moments = moments_of(e.optimizer);
  o.storage = e.head.storage;
  o.loss = head_loss(e.head);
  o.chunk = e.head.chunk.value_or(0);
  o.logits = e.head.logits;
  o.passes = e.head.passes;
  o.unsampled = e.head.sampling.unsampled_rows;
  o.log_q = e.head.sampling.log_q;
  o.init_std = e.head.init_std;
  // Ranks of a CPU run are taken to share their host.
  bool const on_host = dynamic_cast<core::cpu::Cpu const*>(&c.device) != nullptr;
  o.memory = c.device.capacity() / (on_host ? mesh.world().size() : 1);
  auto* const replicas = mesh.replicas().size() > 1 ? &mesh.replicas() : nullptr;
  auto head = std::make_unique<layers::ShardedHead>(c, mesh.shards(), o, replicas);
  if (!e.head.class_weights.empty())
    head->set_class_weights(read_class_weights(e.head.class_weights, *head, c.device));
  return head;
}

}  // namespace train
