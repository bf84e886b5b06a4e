#pragma once
#include "comm/communicator.h"
#include "core/cpu/device.h"
#include "tests/train/trainer/small_training.h"
#include "train/plan/plan.h"

/// Compares the plan of a step with the memory of real steps.
namespace tests {

/// Peak memory in bytes of two real training steps on the CPU, on the calling rank.
inline int64_t measured_peak(train::Experiment const& experiment, comm::Communicator& ranks) {
  core::cpu::Cpu host(1), device(1);
  auto const task = train::open_task(experiment.data, experiment.seed);
  auto model = train::make_model(experiment, device, ranks, task.train.data->shape(), task.classes);
  train::Trainer trainer(experiment, device, ranks, model, 2);
  train::Loader loader(host, task.train, experiment.data, experiment.seed, train::Pass::training,
                       ranks.rank(), ranks.size());
  for (int step = 0; step < 2; ++step) {
    train::Batch batch;
    loader.next(batch);
    trainer.step(batch);
  }
  return static_cast<int64_t>(device.memory().peak);
}

/// Plan of the experiment on the properties of this CPU.
inline train::StepPlan planned(train::Experiment const& experiment, int ranks) {
  core::cpu::Cpu const like(1);
  return train::plan_step(
      experiment,
      {.ranks = ranks,
       .classes = *experiment.data.classes,
       .image = {experiment.data.height, experiment.data.width, experiment.data.channels},
       .device = {like.describe(), like.cache_bytes(), like.fast_bf16(), like.capacity(), true}});
}

/// Experiment with small images and a head of tens of MB.
inline train::Experiment large_head(std::vector<std::string> settings) {
  settings.insert(settings.begin(), {"data.classes=20011", "data.global_batch_size=52",
                                     "data.samples=156", "model.features=128", "head.chunk=auto"});
  return small_experiment(settings);
}

/// Combinations of settings with different tensors alive at the peak.
inline std::vector<std::vector<std::string>> plan_settings() {
  return {{},
          {"head.logits=store"},
          {"head.logits=recompute", "optimizer.momentum=0"},
          {"head.passes=one", "head.logits=recompute"},
          {"head.passes=one", "head.logits=store", "head.chunk=3000"},
          {"head.kind=arcface", "head.bias=false", "optimizer.max_grad_norm=1"},
          {"head.kind=curricularface", "head.bias=false", "head.storage=bf16"},
          {"head.storage=bf16_moments", "optimizer.kind=adamw"},
          {"optimizer.accumulation_steps=2", "optimizer.kind=lars"},
          {"head.chunk=9000", "head.logits=store"},
          {"model.width=32", "data.height=32", "data.width=32", "data.classes=300"},
          {"head.kind=row_parallel", "head.chunk=auto", "model.batch_norm=sync"}};
}

}  // namespace tests
