// colonnade: the command line. Arguments and configuration are read before MPI starts, so that a
// mistake is found at once and printed once.
#include <CLI/CLI.hpp>
#include <iostream>
#include "train/commands/command.h"
#include "train/commands/exit.h"

namespace {

void describe(CLI::App& program) {
  program.name("colonnade");
  program.description(
      "Trains image classifiers whose classes are split over MPI ranks.\n"
      "On several ranks: mpirun -n RANKS colonnade train FILE");
  program.set_version_flag("--version", "colonnade " COLONNADE_VERSION);
  program.require_subcommand(0, 1);
  program.get_formatter()->column_width(24);
}

int run(std::vector<train::Command> const& commands, int argc, char** argv) {
  for (auto const& command : commands)
    if (command.app->parsed()) return command.run(argc, argv);
  return train::code(train::Exit::usage);
}

}  // namespace

// An exception outside of the try blocks is a bug in this file; it may end the program.
int main(int argc, char** argv) {  // NOLINT(bugprone-exception-escape)
  CLI::App program;
  describe(program);
  std::vector<train::Command> const commands{
      train::train_command(program),  train::eval_command(program), train::predict_command(program),
      train::export_command(program), train::plan_command(program), train::bench_command(program),
      train::config_command(program)};
  try {
    program.parse(argc, argv);
  } catch (CLI::ParseError const& error) {
    bool const help = error.get_exit_code() == 0;
    if (train::launched_rank() == 0) program.exit(error);
    return train::code(help ? train::Exit::done : train::Exit::usage);
  }
  if (program.get_subcommands().empty()) {
    if (train::launched_rank() == 0) std::cerr << program.help();
    return train::code(train::Exit::usage);
  }
  try {
    return run(commands, argc, argv);
  } catch (std::exception const& error) {
    train::print_error(error.what(), train::launched_rank());
    return train::exit_code(error);
  }
}
