// colonnade: the command line. Arguments and configuration are read before MPI starts, so that a
// mistake costs nothing and is told once.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <new>
#include <thread>
#include "core/device.h"
#include "train/commands.h"
#include "train/errors.h"
#include "train/export.h"

namespace {

using train::Exit;

struct Arguments {
  std::string config;                 ///< of train
  std::string run;                    ///< of eval and export
  std::vector<std::string> settings;  ///< key=value
  bool resume = false, overwrite = false;
  train::EvalOptions eval;
  train::ExportOptions exporting;
};

/// This process's rank as the launcher tells it, before MPI has started.
int launched_rank() {
  for (auto const* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"})
    if (char const* const rank = std::getenv(name)) return std::atoi(rank);
  return 0;
}

/// Most errors meet all ranks alike. Rank 0 tells, and its end is that of the others, which wait
/// for it; one that lives on has an error of its own.
void tell(std::string const& message, int rank) {
  if (rank > 0) std::this_thread::sleep_for(std::chrono::seconds(5));
  auto const whose = rank > 0 ? core::join("rank ", rank, ": ") : "";
  std::cerr << core::join("colonnade: error: ", whose, message, '\n') << std::flush;
}

int code(Exit exit) { return static_cast<int>(exit); }

int exit_code(std::exception const& error) {
  if (auto const* known = dynamic_cast<train::RunError const*>(&error)) return code(known->exit);
  if (dynamic_cast<comm::Timeout const*>(&error) != nullptr) return code(Exit::requeue);
  if (dynamic_cast<std::filesystem::filesystem_error const*>(&error) != nullptr)
    return code(Exit::io);
  bool const memory = dynamic_cast<core::OutOfMemory const*>(&error) != nullptr ||
                      dynamic_cast<std::bad_alloc const*>(&error) != nullptr;
  return code(memory ? Exit::out_of_memory : Exit::internal);
}

void add_settings(CLI::App& command, Arguments& a) {
  command.add_option("settings", a.settings, "keys that win over the file: optimizer.rate=0.1")
      ->type_name("KEY=VALUE")
      ->option_text("KEY=VALUE ...");
  command.footer("`colonnade config` prints all keys.");
}

void describe_train(CLI::App& app, Arguments& a) {
  auto* const train = app.add_subcommand("train", "Train an experiment");
  train->add_option("config", a.config, "experiment file (YAML)")->option_text("FILE")->required();
  add_settings(*train, a);
  auto* const resume = train->add_flag("--resume", a.resume, "go on from the newest checkpoint");
  train->add_flag("--overwrite", a.overwrite, "replace the run that the folder holds")
      ->excludes(resume);
}

void add_run(CLI::App& command, Arguments& a) {
  command.add_option("run", a.run, "folder of the run, or its experiment file")
      ->option_text("RUN")
      ->required();
}

void describe_eval(CLI::App& app, Arguments& a) {
  auto* const eval = app.add_subcommand("eval", "Evaluate a run on its held-out splits");
  add_run(*eval, a);
  add_settings(*eval, a);
  eval->add_option("--checkpoint", a.eval.step, "the step to evaluate, instead of the newest")
      ->option_text("STEP");
  eval->add_flag("--baseline", a.eval.baseline, "compare with the nearest neighbour on pixels");
  eval->add_option("--picture", a.eval.picture, "draw samples with predictions into this PNG")
      ->option_text("PATH");
}

void describe_export(CLI::App& app, Arguments& a) {
  auto* const exporting =
      app.add_subcommand("export", "Write a run's weights with PyTorch's names and layouts");
  add_run(*exporting, a);
  exporting->add_option("--to", a.exporting.to, "safetensors file to write")
      ->option_text("FILE")
      ->required();
  exporting
      ->add_option("--checkpoint", a.exporting.step, "the step to write, instead of the newest")
      ->option_text("STEP");
  exporting->footer("One process does it, whatever the number of ranks that trained.");
}

void describe(CLI::App& app, Arguments& a) {
  app.name("colonnade");
  app.description(
      "Trains image classifiers whose classes are split over MPI ranks.\n"
      "On several ranks: mpirun -n RANKS colonnade train FILE");
  app.set_version_flag("--version", "colonnade " COLONNADE_VERSION);
  app.require_subcommand(0, 1);
  app.get_formatter()->column_width(24);
  describe_train(app, a);
  describe_eval(app, a);
  describe_export(app, a);
  app.add_subcommand("config", "Print every key of an experiment file, with its default");
}

/// What there is to read of an experiment: for `eval` and `export`, the resolved one in the run's
/// folder.
std::string experiment_file(bool training, Arguments const& a) {
  if (training) return a.config;
  std::filesystem::path const run = a.run;
  return (std::filesystem::is_regular_file(run) ? run : run / "config.yaml").string();
}

int run(CLI::App const& app, Arguments const& a, int argc, char** argv) {
  if (app.got_subcommand("config")) {
    std::cout << train::configuration_reference();
    return code(Exit::done);
  }
  bool const training = app.got_subcommand("train");
  auto experiment = train::read_experiment(experiment_file(training, a), a.settings);
  // Folders may have moved since they were written.
  if (std::filesystem::is_directory(a.run)) experiment.run.out = a.run;
  if (app.got_subcommand("export")) {
    // Where mpirun started several processes, the first does it.
    if (launched_rank() == 0) train::export_command(experiment, a.exporting, std::cout);
    return code(Exit::done);
  }

  comm::Session session(argc, argv);
  auto const body = [&] {
    auto const existing = a.resume      ? train::Existing::resume
                          : a.overwrite ? train::Existing::overwrite
                                        : train::Existing::refuse;
    if (training)
      train::train_command(experiment, existing, session, std::cout);
    else
      train::eval_command(experiment, a.eval, session, std::cout);
    return code(Exit::done);
  };
  return session.run(body, [&](std::exception const& error) {
    tell(error.what(), session.rank());
    return exit_code(error);
  });
}

}  // namespace

// What throws outside the try is a mistake in this file: it may end the program.
int main(int argc, char** argv) {  // NOLINT(bugprone-exception-escape)
  CLI::App app;
  Arguments arguments;
  describe(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (CLI::ParseError const& error) {
    bool const help = error.get_exit_code() == 0;
    if (launched_rank() == 0) app.exit(error);
    return help ? code(Exit::done) : code(Exit::usage);
  }
  if (app.get_subcommands().empty()) {
    if (launched_rank() == 0) std::cerr << app.help();
    return code(Exit::usage);
  }
  try {
    return run(app, arguments, argc, argv);
  } catch (std::exception const& error) {
    tell(error.what(), launched_rank());
    return exit_code(error);
  }
}
