#include "train/evaluation/predict.h"
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include "comm/open.h"
#include "train/commands/command.h"
#include "train/commands/exit.h"
#include "train/evaluation/restore.h"
#include "train/model/open_device.h"

namespace train {
namespace {

struct Arguments {
  std::string run;
  std::vector<std::string> settings;
  std::optional<int64_t> step;  ///< step of the checkpoint; by default the newest good one
  std::string split;            ///< "train", or an evaluation split; empty: the only such
  PredictOptions files;
};

void describe(CLI::App& app, Arguments& arguments) {
  add_run(app, arguments.run);
  add_settings(app, arguments.settings);
  app.add_option("--split", arguments.split, "name of the split (default: the only held-out one)")
      ->option_text("NAME");
  app.add_option("--checkpoint", arguments.step, "step of the checkpoint (default: the newest)")
      ->option_text("STEP");
  app.add_option("--top", arguments.files.places, "best classes of each sample (default: 5)")
      ->option_text("K")
      ->check(CLI::Range(1, 65536));
  app.add_option("--to", arguments.files.classes_to,
                 "file for classes, scores and labels "
                 "(safetensors)")
      ->option_text("FILE")
      ->required();
  app.add_option("--embeddings", arguments.files.embeddings_to,
                 "file for the trunk's features and the labels (safetensors)")
      ->option_text("FILE");
}

/// The split of this name, or the only evaluation split.
Split const& split_named(Task const& task, std::string const& name) {
  if (name.empty() && task.evaluation.size() == 1) return task.evaluation[0];
  std::string known = task.train.name;
  if (name == known) return task.train;
  for (auto const& split : task.evaluation) {
    if (split.name == name) return split;
    known += ", " + split.name;
  }
  auto const wrong =
      name.empty() ? "required, as there is more than one" : "no split '" + name + "'";
  throw ConfigError(core::join("--split: ", wrong, "; choose from ", known));
}

/// Writes the predictions of a checkpoint for a split: predict.h.
void predict_run(Experiment const& experiment, Arguments const& arguments, comm::Session& session,
                 std::ostream& out) {
  auto const device = open_device(experiment, session);
  auto const ranks = comm::open(session, *device);
  auto const sizes = sizes_of_run(experiment, arguments.step);
  auto const task = arguments.split == "train"
                        ? open_task(experiment.data, experiment.seed)
                        : open_evaluation(experiment.data, experiment.seed, sizes.classes);
  check_images(task, sizes.image);
  auto const& split = split_named(task, arguments.split);
  auto restored = restore(experiment, sizes, arguments.step, *device, *ranks,
                          [&](std::string const& text) { out << text << '\n'; });
  predict(restored.model, split, experiment, *device, *ranks, arguments.files);
  if (ranks->rank() != 0) return;
  out << "step " << restored.step << ", " << split.data->size() << " samples of " << split.name
      << ':';
  for (auto const& file : {arguments.files.classes_to, arguments.files.embeddings_to})
    if (!file.empty()) out << ' ' << file;
  out << std::endl;
}

}  // namespace

Command predict_command(CLI::App& program) {
  auto* const app = program.add_subcommand(
      "predict", "Write the predictions of a run for the samples of a split");
  auto const arguments = std::make_shared<Arguments>();
  describe(*app, *arguments);
  return {app, [=](int& argc, char**& argv) {
            auto const experiment = read_run(arguments->run, arguments->settings);
            return run_on_ranks(argc, argv, experiment.run.timeout, [&](comm::Session& session) {
              predict_run(experiment, *arguments, session, std::cout);
            });
          }};
}

}  // namespace train
