#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include "comm/open.h"
#include "train/commands/command.h"
#include "train/commands/exit.h"
#include "train/evaluation/evaluate.h"
#include "train/evaluation/restore.h"
#include "train/model/open_device.h"
#include "train/report/picture.h"
#include "train/report/report.h"

namespace train {
namespace {

constexpr int64_t pictured_samples = 12;  ///< samples of each split in a picture

struct Arguments {
  std::string run;
  std::vector<std::string> settings;
  std::optional<int64_t> step;  ///< step of the checkpoint; by default the newest good one
  bool baseline = false;        ///< also evaluate the nearest neighbor on pixels
  std::string picture;          ///< PNG file of samples with predictions; empty: none
};

void describe(CLI::App& app, Arguments& arguments) {
  add_run(app, arguments.run);
  add_settings(app, arguments.settings);
  app.add_option("--checkpoint", arguments.step, "step of the checkpoint (default: the newest)")
      ->option_text("STEP");
  app.add_flag("--baseline", arguments.baseline, "compare with the nearest neighbor on pixels");
  app.add_option("--picture", arguments.picture, "draw samples with predictions into this PNG")
      ->option_text("PATH");
}

void write_scores(std::filesystem::path const& file, int64_t step, std::vector<Score> const& scores,
                  std::vector<Score> const& baseline) {
  nlohmann::ordered_json all{{"step", step}, {"splits", nlohmann::ordered_json::array()}};
  for (size_t i = 0; i < scores.size(); ++i) {
    nlohmann::ordered_json one{{"split", scores[i].split},
                               {"samples", scores[i].samples},
                               {"top1", scores[i].top1},
                               {"top5", scores[i].top5}};
    if (i < baseline.size()) {
      one["baseline_top1"] = baseline[i].top1;
      one["baseline_top5"] = baseline[i].top5;
    }
    all["splits"].push_back(one);
  }
  std::ofstream stream(file);
  stream << all.dump(2) << std::endl;
  if (!stream) throw IoError("cannot write " + file.string());
}

/// Evaluates a checkpoint on every evaluation split, prints the scores and writes eval.json.
void evaluate_run(Experiment const& experiment, Arguments const& arguments, comm::Session& session,
                  std::ostream& out) {
  auto const device = open_device(experiment, session);
  auto const joined = comm::open(session, *device);
  auto& ranks = *joined;
  auto const sizes = sizes_of_run(experiment, arguments.step);
  bool const needs_training_images = arguments.baseline || !arguments.picture.empty();
  auto const task = needs_training_images
                        ? open_task(experiment.data, experiment.seed)
                        : open_evaluation(experiment.data, experiment.seed, sizes.classes);
  check_images(task, sizes.image);
  auto restored = restore(experiment, sizes, arguments.step, *device, ranks,
                          [&](std::string const& text) { out << text << '\n'; });

  std::vector<Score> scores, baseline;
  std::vector<Shown> shown;
  for (auto const& split : task.evaluation) {
    SampleDraw draw(split, arguments.picture.empty() ? 0 : pictured_samples, experiment.seed);
    scores.push_back(evaluate(restored.model, split, experiment, *device, ranks,
                              [&](Prediction const& prediction) { draw.see(prediction); }));
    for (auto& sample : draw.gather(*device, ranks)) shown.push_back(std::move(sample));
    if (arguments.baseline)
      baseline.push_back(nearest_neighbour(task.train, split, *device, ranks));
  }
  if (ranks.rank() != 0) return;
  out << score_table(scores, baseline, "nearest neighbor on pixels") << std::endl;
  write_scores(std::filesystem::path(experiment.run.out) / "eval.json", restored.step, scores,
               baseline);
  if (!arguments.picture.empty()) draw_predictions(arguments.picture, task, shown);
}

}  // namespace

Command eval_command(CLI::App& program) {
  auto* const app = program.add_subcommand("eval", "Evaluate a run on its held-out splits");
  auto const arguments = std::make_shared<Arguments>();
  describe(*app, *arguments);
  return {app, [=](int& argc, char**& argv) {
            auto const experiment = read_run(arguments->run, arguments->settings);
            return run_on_ranks(argc, argv, experiment.run.timeout, [&](comm::Session& session) {
              evaluate_run(experiment, *arguments, session, std::cout);
            });
          }};
}

}  // namespace train
