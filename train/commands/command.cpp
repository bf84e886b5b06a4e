#include "train/commands/command.h"
#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include "train/commands/exit.h"

namespace train {
namespace fs = std::filesystem;

void add_settings(CLI::App& command, std::vector<std::string>& settings,
                  std::string const& meaning) {
  command.add_option("settings", settings, meaning)
      ->type_name("KEY=VALUE")
      ->option_text("KEY=VALUE ...");
  command.footer("`colonnade config` prints all keys.");
}

void add_config(CLI::App& command, std::string& path) {
  command.add_option("config", path, "experiment file (YAML)")->option_text("FILE")->required();
}

void add_run(CLI::App& command, std::string& run) {
  command.add_option("run", run, "folder of the run, or its experiment file")
      ->option_text("RUN")
      ->required();
}

Experiment read_run(std::string const& run, std::vector<std::string> const& settings) {
  bool const file = fs::is_regular_file(run);
  auto experiment =
      read_experiment(file ? run : (fs::path(run) / "config.yaml").string(), settings);
  if (!file) experiment.run.out = run;
  return experiment;
}

Command config_command(CLI::App& program) {
  auto* const app =
      program.add_subcommand("config", "Print every key of an experiment file, with its default");
  return {app, [](int&, char**&) {
            std::cout << configuration_reference();
            return code(Exit::done);
          }};
}

}  // namespace train
