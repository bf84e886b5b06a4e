#pragma once
#include <functional>
#include <string>
#include <vector>
#include "train/config/experiment.h"

namespace CLI {
class App;
}

/// The subcommands of the program, each in a file of its name.
namespace train {

/// A subcommand: its description, and the work it does once the arguments are read. `run` returns
/// the exit code of the process; it throws what goes wrong.
struct Command {
  CLI::App* app;
  std::function<int(int& argc, char**& argv)> run;
};

Command train_command(CLI::App& program);
Command eval_command(CLI::App& program);
Command predict_command(CLI::App& program);
Command export_command(CLI::App& program);
Command plan_command(CLI::App& program);
Command bench_command(CLI::App& program);
Command config_command(CLI::App& program);

/// Adds the positional KEY=VALUE arguments that replace keys of the experiment file.
void add_settings(CLI::App& command, std::vector<std::string>& settings,
                  std::string const& meaning =
                      "keys that replace those of the file: "
                      "optimizer.lr=0.1");

/// Adds the positional argument for an experiment file.
void add_config(CLI::App& command, std::string& path);

/// Adds the positional argument for a run: its folder, or its experiment file.
void add_run(CLI::App& command, std::string& run);

/// The experiment of a run as it was trained, with `settings` in place of its keys. A run folder
/// that was moved is found where it is now.
Experiment read_run(std::string const& run, std::vector<std::string> const& settings);

}  // namespace train
