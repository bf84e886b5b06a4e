// colonnade: the command line. Arguments and configuration are read before MPI starts, so that a
// mistake costs nothing and is told once.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <new>
#include <thread>
#include "core/device.h"
#include "train/commands/bench_head.h"
#include "train/commands/commands.h"
#include "train/commands/plan.h"
#include "train/config/fields.h"
#include "train/errors.h"
#include "train/weights/export.h"

namespace {

using train::Exit;

struct Arguments {
  std::string config;                 ///< of train
  std::string run;                    ///< of eval, predict and export
  std::vector<std::string> settings;  ///< key=value
  bool resume = false, overwrite = false;
  train::EvalOptions eval;
  train::PredictCommand predict;
  train::ExportOptions exporting;
  train::BenchHead head;
  train::PlanArguments plan;
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

void add_settings(CLI::App& command, std::vector<std::string>& settings,
                  std::string const& meaning = "keys that win over the file: optimizer.lr=0.1") {
  command.add_option("settings", settings, meaning)
      ->type_name("KEY=VALUE")
      ->option_text("KEY=VALUE ...");
  command.footer("`colonnade config` prints all keys.");
}

void describe_train(CLI::App& app, Arguments& a) {
  auto* const train = app.add_subcommand("train", "Train an experiment");
  train->add_option("config", a.config, "experiment file (YAML)")->option_text("FILE")->required();
  add_settings(*train, a.settings);
  auto* const resume = train->add_flag("--resume", a.resume, "go on from the newest checkpoint");
  train->add_flag("--overwrite", a.overwrite, "replace the run that the folder holds")
      ->excludes(resume);
  train->add_flag_callback(
      "--profile", [&a] { a.settings.emplace_back("run.profile=true"); },
      "tell where a step's time goes, and what moves between ranks");
}

void add_run(CLI::App& command, Arguments& a) {
  command.add_option("run", a.run, "folder of the run, or its experiment file")
      ->option_text("RUN")
      ->required();
}

void describe_eval(CLI::App& app, Arguments& a) {
  auto* const eval = app.add_subcommand("eval", "Evaluate a run on its held-out splits");
  add_run(*eval, a);
  add_settings(*eval, a.settings);
  eval->add_option("--checkpoint", a.eval.step, "the step to evaluate, instead of the newest")
      ->option_text("STEP");
  eval->add_flag("--baseline", a.eval.baseline, "compare with the nearest neighbour on pixels");
  eval->add_option("--picture", a.eval.picture, "draw samples with predictions into this PNG")
      ->option_text("PATH");
}

void describe_predict(CLI::App& app, Arguments& a) {
  auto* const predict = app.add_subcommand("predict", "Write a run's answers for a split");
  add_run(*predict, a);
  add_settings(*predict, a.settings);
  auto& files = a.predict.files;
  predict->add_option("--split", a.predict.split, "by default the only held-out one")
      ->option_text("NAME");
  predict->add_option("--checkpoint", a.predict.step, "its step, instead of the newest")
      ->option_text("STEP");
  predict->add_option("--top", files.places, "best classes of each sample, by default 5")
      ->option_text("K")
      ->check(CLI::Range(1, 65536));
  predict->add_option("--to", files.classes_to, "write classes, scores, labels (safetensors)")
      ->option_text("FILE")
      ->required();
  predict->add_option("--embeddings", files.embeddings_to, "write the trunk's features and labels")
      ->option_text("FILE");
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
  exporting
      ->add_option("--head-shards", a.exporting.head_shards,
                   "classifier in so many files beside it, with an index")
      ->option_text("N")
      ->check(CLI::Range(1, 99999));
  exporting->footer("One process does it, whatever the number of ranks that trained.");
}

void describe_plan(CLI::App& app, Arguments& a) {
  auto* const plan =
      app.add_subcommand("plan", "Tell what a step will take, before anything is launched");
  plan->add_option("config", a.config, "experiment file (YAML)")->option_text("FILE")->required();
  add_settings(*plan, a.settings);
  plan->add_option("--ranks", a.plan.ranks, "of the run that is planned")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  plan->add_option("--classes", a.plan.classes, "instead of those of the data")
      ->check(CLI::PositiveNumber);
  for (auto const& [name, value, meaning] :
       {std::tuple{"--memory", &a.plan.memory,
                   "of a rank, as 141GB: what fits, and what to change"},
        {"--flops", &a.plan.flops, "that a rank does in a second, as 790T"},
        {"--bandwidth", &a.plan.bandwidth, "of its memory in a second, as 4.3TB"},
        {"--network", &a.plan.network, "that it sends in a second, as 400GB"},
        {"--cache", &a.plan.cache, "of its device where that is not here: sizes chunks"}})
    plan->add_option(name, *value, meaning)->option_text("AMOUNT");
  plan->footer(
      "One process does it. Rates that are not given are measured on this machine. The exit code\n"
      "is 71 where the experiment does not fit.");
}

/// An option whose values are an enum's, as experiments write them.
template <class E, class Value>
void add_choice(CLI::App& command, std::string const& name, Value& value,
                std::string const& meaning) {
  std::vector<std::string> const words(train::names<E>.begin(), train::names<E>.end());
  auto const set = [&value, words](std::string const& word) {
    value = static_cast<Value>(std::find(words.begin(), words.end(), word) - words.begin());
  };
  command.add_option_function<std::string>(name, set, meaning)->check(CLI::IsMember(words));
}

void describe_bench(CLI::App& app, Arguments& a) {
  auto* const bench = app.add_subcommand("bench", "Measure a part of a training step");
  bench->require_subcommand(1);
  auto* const head = bench->add_subcommand("head", "The classification head alone");
  auto& h = a.head;
  for (auto const& [name, value, meaning] :
       {std::tuple{"--classes", &h.classes, "split over the ranks"},
        {"--features", &h.features, "of a sample"},
        {"--batch", &h.batch, "samples of all ranks"},
        {"--steps", &h.steps, "steps that are timed"}})
    head->add_option(name, *value, meaning)->check(CLI::PositiveNumber)->capture_default_str();
  add_choice<train::Precision>(*head, "--precision", h.precision, "by default f32");
  add_choice<train::DeviceChoice>(*head, "--device", h.device, "by default auto");
  head->add_option("--warm-up", h.warm_up, "steps before those that are timed")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  head->add_option("--seed", h.seed, "of weights, features and labels")->capture_default_str();
  head->add_option("--threads", h.threads,
                   "of a rank; by default the cores of the host, shared out")
      ->check(CLI::PositiveNumber);
  add_settings(*head, h.settings, "of head and optimizer: head.logits=store");
  head->add_option("--check", h.check, "write what the steps computed, instead of measuring")
      ->option_text("FILE");
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
  describe_predict(app, a);
  describe_export(app, a);
  describe_plan(app, a);
  describe_bench(app, a);
  app.add_subcommand("config", "Print every key of an experiment file, with its default");
}

/// What there is to read of an experiment: for all but `train`, the resolved one in the run's
/// folder.
std::string experiment_file(bool training, Arguments const& a) {
  if (training) return a.config;
  std::filesystem::path const run = a.run;
  return (std::filesystem::is_regular_file(run) ? run : run / "config.yaml").string();
}

/// What all ranks do together.
int on_ranks(comm::Session& session, std::function<void()> const& command) {
  auto const body = [&] {
    command();
    return code(Exit::done);
  };
  return session.run(body, [&](std::exception const& error) {
    tell(error.what(), session.rank());
    return exit_code(error);
  });
}

int run(CLI::App const& app, Arguments const& a, int argc, char** argv) {
  if (app.got_subcommand("config")) {
    std::cout << train::configuration_reference();
    return code(Exit::done);
  }
  if (app.got_subcommand("bench")) {
    comm::Session session(argc, argv);
    return on_ranks(session, [&] { train::bench_head_command(a.head, session, std::cout); });
  }
  bool const training = app.got_subcommand("train"), planning = app.got_subcommand("plan");
  auto experiment = train::read_experiment(experiment_file(training || planning, a), a.settings);
  if (planning) {
    if (launched_rank() != 0) return code(Exit::done);
    return code(train::plan_command(experiment, a.plan, std::cout));
  }
  // Folders may have moved since they were written.
  if (std::filesystem::is_directory(a.run)) experiment.run.out = a.run;
  if (app.got_subcommand("export")) {
    // Where mpirun started several processes, the first does it.
    if (launched_rank() == 0) train::export_command(experiment, a.exporting, std::cout);
    return code(Exit::done);
  }

  comm::Session session(argc, argv);
  return on_ranks(session, [&] {
    auto const existing = a.resume      ? train::Existing::resume
                          : a.overwrite ? train::Existing::overwrite
                                        : train::Existing::refuse;
    if (training)
      train::train_command(experiment, existing, session, std::cout);
    else if (app.got_subcommand("predict"))
      train::predict_command(experiment, a.predict, session, std::cout);
    else
      train::eval_command(experiment, a.eval, session, std::cout);
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
