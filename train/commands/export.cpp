#include "train/weights/export.h"
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include "train/commands/command.h"
#include "train/commands/exit.h"

namespace train {
namespace {

struct Arguments {
  std::string run;
  ExportOptions options;
};

void describe(CLI::App& app, Arguments& arguments) {
  add_run(app, arguments.run);
  app.add_option("--to", arguments.options.to, "safetensors file to write")
      ->option_text("FILE")
      ->required();
  app.add_option("--checkpoint", arguments.options.step,
                 "step of the checkpoint (default: the newest)")
      ->option_text("STEP");
  app.add_option("--head-shards", arguments.options.head_shards,
                 "number of files for the classifier, beside FILE, with an index")
      ->option_text("N")
      ->check(CLI::Range(1, 99999));
  app.footer("Runs in one process, whatever the number of ranks that trained.");
}

}  // namespace

Command export_command(CLI::App& program) {
  auto* const app =
      program.add_subcommand("export", "Write a run's weights with PyTorch's names and layouts");
  auto const arguments = std::make_shared<Arguments>();
  describe(*app, *arguments);
  return {app, [=](int&, char**&) {
            auto const experiment = read_run(arguments->run, {});
            // One process writes, also if mpirun started several.
            if (launched_rank() == 0) export_weights(experiment, arguments->options, std::cout);
            return code(Exit::done);
          }};
}

}  // namespace train
