#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>
#include <memory>
#include "train/commands/bench_head.h"
#include "train/commands/command.h"
#include "train/commands/exit.h"
#include "train/config/fields.h"

namespace train {
namespace {

/// An option whose values are those of an enum, in the words of the configuration.
template <class Enum>
void add_choice(CLI::App& command, std::string const& name, Enum& value,
                std::string const& meaning) {
  std::vector<std::string> const words(names<Enum>.begin(), names<Enum>.end());
  auto const set = [&value, words](std::string const& word) {
    value = static_cast<Enum>(std::ranges::find(words, word) - words.begin());
  };
  command.add_option_function<std::string>(name, set, meaning)->check(CLI::IsMember(words));
}

void describe(CLI::App& head, BenchHead& bench) {
  for (auto const& [name, value, meaning] :
       {std::tuple{"--classes", &bench.classes, "number of classes, split over the ranks"},
        {"--features", &bench.features, "features of a sample"},
        {"--batch", &bench.batch, "samples of a step, over all ranks"},
        {"--steps", &bench.steps, "timed steps"}})
    head.add_option(name, *value, meaning)->check(CLI::PositiveNumber)->capture_default_str();
  add_choice(head, "--precision", bench.precision, "(default: f32)");
  add_choice(head, "--device", bench.device, "(default: auto)");
  head.add_option("--warm-up", bench.warm_up, "steps before the timed ones")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  head.add_option("--seed", bench.seed, "seed of weights, features and labels")
      ->capture_default_str();
  head.add_option("--threads", bench.threads,
                  "compute threads of a rank (default: the cores of the host, divided)")
      ->check(CLI::PositiveNumber);
  add_settings(head, bench.settings, "keys of head and optimizer: head.logits=store");
  head.add_option("--check", bench.check, "write the results of the steps, instead of measuring")
      ->option_text("FILE");
}

}  // namespace

Command bench_command(CLI::App& program) {
  auto* const app = program.add_subcommand("bench", "Measure a part of a training step");
  app->require_subcommand(1);
  auto* const head = app->add_subcommand("head", "The classification head alone");
  auto const bench = std::make_shared<BenchHead>();
  describe(*head, *bench);
  return {app, [=](int& argc, char**& argv) {
            return run_on_ranks(argc, argv, RunConfig{}.timeout, [&](comm::Session& session) {
              bench_head(*bench, session, std::cout);
            });
          }};
}

}  // namespace train
