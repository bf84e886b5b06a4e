#pragma once
#include <functional>
#include <optional>
#include "train/data/dataset.h"
#include "train/model/model.h"

namespace train {

/// The size of a run's network, from the manifest of its newest readable checkpoint or the one of
/// `step`.
struct RunSizes {
  core::ImageShape image;
  int64_t classes = 0;
};

/// Throws: MissingInput if the run in experiment.run.out has no checkpoint, BadData if every
/// manifest is damaged.
RunSizes sizes_of_run(Experiment const& experiment, std::optional<int64_t> step);

/// A trained network, for inference: weights and running statistics without optimizer state.
struct RestoredModel {
  Model model;
  int64_t step = 0;  ///< training steps behind the weights
};

/// Loads the newest good checkpoint of the run in experiment.run.out, or the one of `step`. `warn`
/// receives, on rank 0, a message for each damaged one that is passed over. Collective.
/// Throws: MissingInput, BadData, and ConfigError as make_model and Checkpoints::load do.
RestoredModel restore(Experiment const& experiment, RunSizes const& sizes,
                      std::optional<int64_t> step, core::Device& device, comm::Communicator& ranks,
                      std::function<void(std::string const&)> const& warn);

/// Throws BadData unless the images of every split have this size.
void check_images(Task const& task, core::ImageShape const& image);

}  // namespace train
