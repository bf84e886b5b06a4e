#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include "comm/open.h"
#include "train/commands/command.h"
#include "train/commands/exit.h"
#include "train/model/open_device.h"
#include "train/report/terminal.h"
#include "train/trainer/run.h"

namespace train {
namespace {

struct Arguments {
  std::string config;
  std::vector<std::string> settings;  ///< key=value
  bool resume = false, overwrite = false;
};

void describe(CLI::App& app, Arguments& arguments) {
  add_config(app, arguments.config);
  add_settings(app, arguments.settings);
  auto* const resume =
      app.add_flag("--resume", arguments.resume, "continue from the newest checkpoint");
  app.add_flag("--overwrite", arguments.overwrite, "replace the run in the folder")
      ->excludes(resume);
  app.add_flag_callback(
      "--profile", [&arguments] { arguments.settings.emplace_back("run.profile=true"); },
      "print the time of each phase of a step, and the bytes sent between ranks");
}

bool redraws(Progress progress) {
  return progress == Progress::automatic ? on_terminal(launched()) : progress == Progress::line;
}

int run(Arguments const& arguments, int& argc, char**& argv) {
  auto const experiment = read_experiment(arguments.config, arguments.settings);
  auto const existing = arguments.resume      ? Existing::resume
                        : arguments.overwrite ? Existing::overwrite
                                              : Existing::refuse;
  // Before MPI starts: a single process then sets the variables of a launcher for itself.
  bool const redraw = redraws(experiment.run.progress);
  return run_on_ranks(argc, argv, experiment.run.timeout, [&](comm::Session& session) {
    auto const device = open_device(experiment, session);
    auto const ranks = comm::open(session, *device);
    Console const console{std::cout, redraw};
    train(experiment, existing, *device, *ranks, console);
  });
}

}  // namespace

Command train_command(CLI::App& program) {
  auto* const app = program.add_subcommand("train", "Train an experiment");
  auto const arguments = std::make_shared<Arguments>();
  describe(*app, *arguments);
  return {app, [=](int& argc, char**& argv) { return run(*arguments, argc, argv); }};
}

}  // namespace train
