#include "train/commands/commands.h"
#include <fstream>
#include <nlohmann/json.hpp>
#include "comm/open.h"
#include "train/errors.h"
#include "train/model/open_device.h"
#include "train/report/picture.h"
#include "train/report/report.h"
#include "train/trainer/trainer.h"

namespace train {
namespace {

constexpr int64_t pictured_samples = 12;  ///< of each split

/// Loads a checkpoint into the trainer's model; gives its step.
int64_t restore(Experiment const& experiment, std::optional<int64_t> step, Trainer& trainer,
                comm::Communicator& ranks, int64_t classes, std::ostream& out) {
  auto const folder = std::filesystem::path(experiment.run.out) / "checkpoints";
  auto state = trainer.snapshot(classes);
  auto const warn = [&](std::string const& text) { out << text << '\n'; };
  auto const at =
      Checkpoints(folder, ranks, experiment.checkpoint.keep_last).load(state, warn, step);
  if (!at && step)
    throw MissingInput(core::join(folder.string(), " has no checkpoint of step ", *step));
  if (!at) throw MissingInput(folder.string() + " has no complete checkpoint; train first");
  trainer.restored(at->step);
  return at->step;
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

/// The split of this name, or the only one that is evaluated.
Split const& split_named(Task const& task, std::string const& name) {
  if (name.empty() && task.evaluation.size() == 1) return task.evaluation[0];
  std::string known = task.train.name;
  if (name == known) return task.train;
  for (auto const& split : task.evaluation) {
    if (split.name == name) return split;
    known += ", " + split.name;
  }
  throw ConfigError(core::join("--split: ", name.empty() ? "say which" : "no '" + name + "'",
                               "; there are: ", known));
}

}  // namespace

void train_command(Experiment const& experiment, Existing existing, comm::Session& session,
                   std::ostream& out) {
  auto const device = open_device(experiment, session);
  auto const joined = comm::open(session, *device);
  comm::Communicator& ranks = *joined;
  train(experiment, existing, *device, ranks, out);
}

void eval_command(Experiment const& experiment, EvalOptions const& options, comm::Session& session,
                  std::ostream& out) {
  auto const device = open_device(experiment, session);
  auto const joined = comm::open(session, *device);
  comm::Communicator& ranks = *joined;
  auto const task = open_task(experiment.data, experiment.seed);
  auto model = make_model(experiment, *device, ranks, task.train.data->shape(), task.classes);
  Trainer trainer(experiment, *device, ranks, model, 0);
  int64_t const step = restore(experiment, options.step, trainer, ranks, task.classes, out);

  std::vector<Score> scores, baseline;
  std::vector<Shown> shown;
  for (auto const& split : task.evaluation) {
    SampleDraw draw(split, options.picture.empty() ? 0 : pictured_samples, experiment.seed);
    scores.push_back(evaluate(model, split, experiment, *device, ranks,
                              [&](Prediction const& seen) { draw.see(seen); }));
    for (auto& sample : draw.gather(*device, ranks)) shown.push_back(std::move(sample));
    if (options.baseline) {
      baseline.push_back(nearest_neighbour(task.train, split, *device, ranks));
    }
  }
  if (ranks.rank() != 0) return;
  out << score_table(scores, baseline, "nearest neighbour on pixels") << std::endl;
  write_scores(std::filesystem::path(experiment.run.out) / "eval.json", step, scores, baseline);
  if (!options.picture.empty()) draw_predictions(options.picture, task, shown);
}

void predict_command(Experiment const& experiment, PredictCommand const& options,
                     comm::Session& session, std::ostream& out) {
  auto const device = open_device(experiment, session);
  auto const joined = comm::open(session, *device);
  comm::Communicator& ranks = *joined;
  auto const task = open_task(experiment.data, experiment.seed);
  auto const& split = split_named(task, options.split);
  auto model = make_model(experiment, *device, ranks, task.train.data->shape(), task.classes);
  Trainer trainer(experiment, *device, ranks, model, 0);
  int64_t const step = restore(experiment, options.step, trainer, ranks, task.classes, out);
  predict(model, split, experiment, *device, ranks, options.files);
  if (ranks.rank() != 0) return;
  out << "step " << step << ", " << split.data->size() << " samples of " << split.name << ':';
  for (auto const& file : {options.files.classes_to, options.files.embeddings_to})
    if (!file.empty()) out << ' ' << file;
  out << std::endl;
}

}  // namespace train
