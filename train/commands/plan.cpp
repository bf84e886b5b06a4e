#include "train/plan/plan.h"
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <iomanip>
#include <iostream>
#include <memory>
#include <sstream>
#include "train/commands/command.h"
#include "train/commands/exit.h"
#include "train/plan/quantity.h"
#include "train/plan/target.h"
#include "train/trainer/trainer.h"

namespace train {
namespace {

struct Arguments {
  std::string config;
  std::vector<std::string> settings;
  PlanArguments plan;
};

void describe(CLI::App& app, Arguments& arguments) {
  add_config(app, arguments.config);
  add_settings(app, arguments.settings);
  auto& plan = arguments.plan;
  app.add_option("--ranks", plan.ranks, "number of ranks of the planned run")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--classes", plan.classes, "number of classes (default: the data's)")
      ->check(CLI::PositiveNumber);
  for (auto const& [name, value, meaning] :
       {std::tuple{"--memory", &plan.memory,
                   "memory of a rank (141GB), into which the step must fit"},
        {"--flops", &plan.flops, "FLOP/s of a rank (790T)"},
        {"--bandwidth", &plan.bandwidth, "bytes per second of a rank's memory (4.3TB)"},
        {"--network", &plan.network, "bytes per second that a rank sends (400GB)"},
        {"--cache", &plan.cache, "cache of the device (25MiB), by which chunks are sized"}})
    app.add_option(name, *value, meaning)->option_text("AMOUNT");
  app.footer(
      "Runs in one process. Rates that are not set are measured on this machine. The exit code\n"
      "is 71 if the experiment does not fit.");
}

std::string bytes(int64_t count) { return written_quantity(static_cast<double>(count), "B"); }

std::string milliseconds(double seconds) {
  std::ostringstream text;
  text << std::fixed << std::setprecision(seconds < 0.01 ? 2 : 1) << 1e3 * seconds << " ms";
  return text.str();
}

void row(std::ostream& out, std::string const& name, std::string const& value,
         std::string const& second = "") {
  out << "  " << std::left << std::setw(40) << name << std::right << std::setw(16) << value;
  if (!second.empty()) out << std::setw(12) << second;
  out << '\n';
}

/// `captures`: steps are captured as a CUDA graph.
void print_memory(std::ostream& out, StepPlan const& plan, bool captures) {
  std::vector<std::pair<int64_t, std::string>> parts;
  int64_t others = plan.peak;
  for (auto const& [name, most] : plan.peak_of_parts)
    if (name != "other" && most >= plan.peak / 1000) parts.emplace_back(most, name);
  std::ranges::sort(parts, std::greater<>{});
  row(out, "memory of a rank", "at the peak", "at most");
  for (auto const& [most, name] : parts) {
    auto const found = plan.parts_at_peak.find(name);
    int64_t const then = found == plan.parts_at_peak.end() ? 0 : found->second;
    row(out, name, bytes(then), bytes(most));
    others -= then;
  }
  row(out, "other", bytes(others));
  row(out, "sum", bytes(plan.peak));
  if (captures) row(out, "more while memory is free: eager steps", "", bytes(plan.temporary));
  row(out, "host memory: batches of the loader", bytes(plan.loader));
  out << "  (tensors alone, without the memory of libraries and drivers)\n";
}

void print_fit(std::ostream& out, Experiment const& experiment, PlanSizes const& sizes,
               int64_t peak, int64_t memory) {
  auto const most = static_cast<double>(most_classes(experiment, sizes, memory));
  out << (peak <= memory ? "it fits " : "it does NOT fit ") << "into " << bytes(memory)
      << "; at most about " << written_quantity(most, "") << " classes fit\n";
  if (peak <= memory) return;
  out << "changes that reduce the memory, each applied alone\n";
  for (auto const& suggestion : suggestions(experiment, sizes, peak))
    row(out, suggestion.change, bytes(suggestion.peak), suggestion.peak <= memory ? "fits" : "");
}

void print_traffic(std::ostream& out, StepPlan const& plan, int ranks) {
  if (ranks == 1) return;
  out << "sent by a rank in a step\n";
  int64_t sum = 0;
  for (auto const& r : plan.traffic.rows()) {
    row(out, core::join(r.label, ", ", comm::name(r.what)), bytes(r.moved.sent / ranks));
    sum += r.moved.sent / ranks;
  }
  row(out, "sum", bytes(sum));
}

/// The phases of a step in the order of their execution.
constexpr std::array phases{"trunk forward", "head forward", "head backward", "trunk backward",
                            "gradient norm", "head update",  "trunk update"};

void print_compute(std::ostream& out, StepPlan const& plan, Rates const& rates,
                   StepTime const& time) {
  core::dry::Work sum;
  int64_t kernels = 0;
  for (auto const& stretch : plan.stretches)
    for (auto const& [work, times] : stretch.work) {
      sum.flops += work.flops * static_cast<double>(times);
      sum.bytes += work.bytes * static_cast<double>(times);
      kernels += times;
    }
  out << (plan.gpu ? "time of a step by a model of a GPU with these peaks, not measured\n"
                   : "time of a step, at these rates\n");
  auto const rated = [&](char const* name, double amount, char const* unit, double rate) {
    row(out, core::join(name, ": ", written_quantity(amount, unit)),
        rate > 0 ? written_quantity(rate, core::join(unit, "/s")) : "rate unknown");
  };
  rated("products", sum.flops, "FLOP", rates.flops);
  rated("memory traffic", sum.bytes, "B", rates.memory);
  for (auto const* phase : phases) {
    auto const found = time.phases.find(phase);
    if (found != time.phases.end() && found->second > 0)
      row(out, phase, milliseconds(found->second));
  }
  row(out, core::join("kernels, one after another: ", kernels), milliseconds(time.compute));
}

void print_time(std::ostream& out, StepPlan const& plan, Rates const& rates, int ranks) {
  auto const time = predicted_time(plan, rates);
  print_compute(out, plan, rates, time);
  if (ranks == 1) return;
  if (rates.network == 0) {
    out << "  communication is not included; set its rate with --network\n";
    return;
  }
  row(out, "communication beside the kernels", "time", "waited");
  for (auto const& [label, seconds, waited] : time.network)
    row(out, label, milliseconds(seconds), milliseconds(waited));
  row(out, "a step", milliseconds(time.step));
}

/// True if the target is a GPU and the experiment's steps are captured there.
bool captures(Experiment const& experiment, Target const& target) {
  if (experiment.run.cuda_graph == CudaGraph::off) return false;
  if (target.here) return why_not_captured(experiment, *target.here).empty();
  return experiment.device != DeviceChoice::cpu;
}

/// Prints the memory, traffic and time of a step, in one process. The data are opened only if the
/// configuration does not determine the number of classes and the size of the images.
Exit print_plan(Experiment const& experiment, PlanArguments const& arguments, std::ostream& out) {
  auto const target = target_of(experiment, arguments);
  int64_t const memory = target.memory;
  auto rates = given_rates(arguments);  // first, to reject invalid options before anything slow
  auto const sizes = sizes_of(experiment, arguments, target.traits);
  auto const plan = plan_step(experiment, sizes);
  out << arguments.ranks << (arguments.ranks == 1 ? " rank, " : " ranks, ") << sizes.classes
      << " classes, batch " << experiment.data.global_batch_size << ", " << core::name(plan.dtype)
      << ", on " << target.traits.name << '\n'
      << plan.head << '\n';
  print_memory(out, plan, captures(experiment, target));
  if (memory > 0) print_fit(out, experiment, sizes, plan.peak, memory);
  print_traffic(out, plan, arguments.ranks);
  if (target.here) rates = measured_rates(rates, plan, *target.here);
  print_time(out, plan, rates, arguments.ranks);
  return memory > 0 && plan.peak > memory ? Exit::out_of_memory : Exit::done;
}

}  // namespace

Command plan_command(CLI::App& program) {
  auto* const app = program.add_subcommand(
      "plan", "Print the memory, traffic and time of a step, before anything is launched");
  auto const arguments = std::make_shared<Arguments>();
  describe(*app, *arguments);
  return {app, [=](int&, char**&) {
            auto const experiment = read_experiment(arguments->config, arguments->settings);
            if (launched_rank() != 0) return code(Exit::done);
            return code(print_plan(experiment, arguments->plan, std::cout));
          }};
}

}  // namespace train
