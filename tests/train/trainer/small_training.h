#pragma once
#include "comm/self.h"
#include "core/cpu/device.h"
#include "tests/support/reference.h"
#include "train/data/loader.h"
#include "train/trainer/trainer.h"

/// Training of a small model on one rank and any device.
namespace tests {

/// Small experiment with six batches per epoch, the last one smaller.
inline train::Experiment small_experiment(std::vector<std::string> const& settings = {}) {
  return train::parse_experiment("test", R"(
precision: f32
run: {steps: 20}
data:
  {kind: synthetic, classes: 37, samples: 64, global_batch_size: 12,
   height: 16, width: 16, channels: 1}
model: {trunk: small, width: 8, features: 24}
head: {bias: true, chunk: 10}
optimizer: {lr: 0.05, momentum: 0.9, weight_decay: 1.0e-3}
schedule: {kind: cosine, warmup_steps: 3}
)",
                                 settings);
}

/// A model with its trainer and data, without a run folder.
struct SmallTraining {
  SmallTraining(train::Experiment const& given, core::Device& device)
      : experiment(given),
        task(train::open_task(experiment.data, experiment.seed)),
        model(train::make_model(experiment, device, ranks, task.train.data->shape(), task.classes)),
        trainer(experiment, device, ranks, model, experiment.run.steps),
        loader(host, task.train, experiment.data, experiment.seed, train::Pass::training, 0, 1) {}

  core::Tensor step() {
    train::Batch batch;
    loader.next(batch);
    return trainer.step(batch);
  }

  /// Values of all tensors of the snapshot, concatenated.
  std::vector<double> state() {
    std::vector<double> all;
    auto const snapshot = trainer.snapshot(task.classes);
    for (auto const* tensors : {&snapshot.trunk, &snapshot.head})
      for (auto const& [name, tensor] : *tensors)
        for (double const value : values(tensor)) all.push_back(value);
    return all;
  }

  core::cpu::Cpu host;
  comm::Self ranks;
  train::Experiment experiment;
  train::Task task;
  train::Model model;
  train::Trainer trainer;
  train::Loader loader;
};

}  // namespace tests
