#include "train/evaluation/restore.h"
#include "train/checkpoint/newest.h"

namespace train {
namespace fs = std::filesystem;
namespace {

fs::path checkpoints_of(Experiment const& experiment) {
  return fs::path(experiment.run.out) / "checkpoints";
}

/// The experiment with an optimizer that keeps no state.
Experiment without_optimizer_state(Experiment experiment) {
  experiment.optimizer = {.momentum = 0};
  return experiment;
}

Snapshot weights_of(Model& model, uint64_t seed) {
  Snapshot weights{.classes = model.head->classes(),
                   .seed = seed,
                   .image = model.image,
                   .others = Others::ignored};
  for (auto* p : layers::parameters(*model.trunk)) weights.trunk.push_back({p->name, p->value});
  for (auto& part : model.head->state()) weights.head.push_back({part.name, part.tensor});
  return weights;
}

}  // namespace

RunSizes sizes_of_run(Experiment const& experiment, std::optional<int64_t> step) {
  auto const silent = [](std::string const&) {};  // loading the checkpoint warns
  auto const newest = newest_good(checkpoints_of(experiment), step, Verify::manifest, silent);
  return {newest.manifest.image, newest.manifest.classes};
}

RestoredModel restore(Experiment const& experiment, RunSizes const& sizes,
                      std::optional<int64_t> step, core::Device& device, comm::Communicator& ranks,
                      std::function<void(std::string const&)> const& warn) {
  auto const folder = checkpoints_of(experiment);
  RestoredModel restored{
      make_model(without_optimizer_state(experiment), device, ranks, sizes.image, sizes.classes)};
  auto weights = weights_of(restored.model, experiment.seed);
  auto const at =
      Checkpoints(folder, ranks, experiment.checkpoint.keep_last).load(weights, warn, step);
  if (!at) throw MissingInput(folder.string() + " has no complete checkpoint; train first");
  for (auto* p : layers::parameters(*restored.model.trunk)) layers::refresh(*p);
  restored.model.head->refresh();
  restored.step = at->step;
  return restored;
}

void check_images(Task const& task, core::ImageShape const& image) {
  for (auto const& split : task.evaluation) {
    auto const found = split.data->shape();
    if (!(found == image))
      throw BadData(core::join("split ", split.name, ": its images are ", found.height, " x ",
                               found.width, " x ", found.channels, ", the model takes ",
                               image.height, " x ", image.width, " x ", image.channels));
  }
}

}  // namespace train
