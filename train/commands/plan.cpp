#include "train/commands/plan.h"
#include <algorithm>
#include <iomanip>
#include <ostream>
#include <sstream>
#include "core/cpu/device.h"
#include "core/cuda/open.h"
#include "train/model/open_device.h"
#include "train/plan/plan.h"
#include "train/plan/product_rates.h"
#include "train/plan/quantity.h"

namespace train {
namespace {

constexpr int64_t assumed_cache = int64_t{25} << 20;  ///< half an H100's L2, as the device says it

double given(char const* name, std::string const& text, char const* unit) {
  return text.empty() ? 0 : parse_quantity(name, text, unit);
}

/// The device that the plan is for.
struct Target {
  core::dry::Traits traits;
  std::unique_ptr<core::Device> here;  ///< itself, where it is this machine's
};

Target target_without_memory(Experiment const& experiment, PlanArguments const& arguments) {
  bool const gpu = experiment.device != DeviceChoice::cpu;
  if (!arguments.cache.empty()) {
    auto const cache = static_cast<int64_t>(parse_quantity("--cache", arguments.cache, "B"));
    return {{"a device with a cache of " + arguments.cache, cache, gpu}, nullptr};
  }
  Target target;
  if (gpu && core::cuda::available().count > 0)
    target.here = core::cuda::open(0, {experiment.run.tf32, experiment.run.deterministic});
  else if (experiment.device == DeviceChoice::cuda)
    return {{"a GPU with a cache of 50 MB", assumed_cache, true}, nullptr};
  else
    target.here = std::make_unique<core::cpu::Cpu>(threads_of(experiment.run, arguments.ranks));
  target.traits = {target.here->describe(), target.here->cache_bytes(), target.here->fast_bf16()};
  return target;
}

Target target_of(Experiment const& experiment, PlanArguments const& arguments) {
  auto target = target_without_memory(experiment, arguments);
  bool const shared = dynamic_cast<core::cpu::Cpu const*>(target.here.get()) != nullptr;
  if (target.here)
    target.traits.capacity = target.here->capacity() / (shared ? arguments.ranks : 1);
  if (!arguments.memory.empty())
    target.traits.capacity =
        static_cast<int64_t>(parse_quantity("--memory", arguments.memory, "B"));
  return target;
}

/// The images' size where the configuration says it; otherwise without pixels.
core::ImageShape configured_image(DataConfig const& data) {
  switch (data.kind) {
    case DataKind::synthetic:
      return {data.height, data.width, data.channels};
    case DataKind::glyphs:
      return {data.glyphs.size, data.glyphs.size, 1};
    case DataKind::words:
      return {data.words.height, data.words.width, 1};
    case DataKind::safetensors:
    case DataKind::idx:
      return {};
  }
  core::fail("no such kind of data");
}

std::optional<int64_t> configured_classes(DataConfig const& data) {
  if (data.kind == DataKind::glyphs) return data.glyphs.classes;
  if (data.kind == DataKind::words) return data.words.classes;
  return data.kind == DataKind::synthetic ? data.classes : std::nullopt;
}

PlanSizes sizes_of(Experiment const& experiment, PlanArguments const& arguments,
                   core::dry::Traits const& device) {
  PlanSizes sizes{
      .ranks = arguments.ranks, .image = configured_image(experiment.data), .device = device};
  sizes.classes =
      arguments.classes > 0 ? arguments.classes : configured_classes(experiment.data).value_or(0);
  if (sizes.classes > 0 && sizes.image.count() > 0) return sizes;
  auto const task = open_task(experiment.data, experiment.seed);
  sizes.image = task.train.data->shape();
  if (sizes.classes == 0) sizes.classes = task.classes;
  return sizes;
}

/// Those that were given, and for those that were not, what this machine does.
Rates rates_of(PlanArguments const& arguments, StepPlan const& plan, core::Device* here) {
  Rates rates{given("--flops", arguments.flops, ""), given("--bandwidth", arguments.bandwidth, "B"),
              given("--network", arguments.network, "B")};
  if (here == nullptr) return rates;
  if (rates.flops == 0) {
    auto const t = measure_products(*here, plan.dtype, plan.rows, plan.features, plan.chunk);
    auto const flops = 6.0 * static_cast<double>(plan.rows * plan.features * plan.chunk);
    rates.flops = flops / (t.logits + t.features + t.weights);
  }
  if (rates.memory == 0) rates.memory = measure_bandwidth(*here);
  return rates;
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

void print_memory(std::ostream& out, StepPlan const& plan) {
  std::vector<std::pair<int64_t, std::string>> parts;
  int64_t others = plan.peak;
  for (auto const& [name, most] : plan.peak_of_parts)
    if (most >= plan.peak / 1000) parts.emplace_back(most, name);
  std::ranges::sort(parts, std::greater<>{});
  row(out, "memory of a rank", "at its peak", "at most");
  for (auto const& [most, name] : parts) {
    auto const found = plan.parts_at_peak.find(name);
    int64_t const then = found == plan.parts_at_peak.end() ? 0 : found->second;
    row(out, name, bytes(then), bytes(most));
    others -= then;
  }
  row(out, "all else", bytes(others));
  row(out, "sum", bytes(plan.peak));
  row(out, "on the host: batches of the loader", bytes(plan.loader));
  out << "  (tensors; what libraries and drivers take for themselves is not in it)\n";
}

void print_fit(std::ostream& out, Experiment const& experiment, PlanSizes const& sizes,
               int64_t peak, int64_t memory) {
  out << (peak <= memory ? "it fits " : "it does NOT fit ") << "into " << bytes(memory)
      << "; about " << most_classes(experiment, sizes, memory) << " classes do\n";
  if (peak <= memory) return;
  out << "what makes it smaller, each by itself\n";
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

void print_time(std::ostream& out, StepPlan const& plan, Rates const& rates, int ranks) {
  core::dry::Work sum;
  for (auto const& [work, times] : plan.work) {
    sum.flops += work.flops * static_cast<double>(times);
    sum.bytes += work.bytes * static_cast<double>(times);
  }
  out << "time of a step, at these rates\n";
  auto const rated = [&](char const* name, double amount, char const* unit, double rate) {
    row(out, core::join(name, ": ", written_quantity(amount, unit)),
        rate > 0 ? written_quantity(rate, core::join(unit, "/s")) : "no rate");
  };
  rated("products", sum.flops, "FLOP", rates.flops);
  rated("to and from memory", sum.bytes, "B", rates.memory);
  auto const time = predicted_time(plan, rates, ranks);
  row(out, "kernels, one after another", milliseconds(time.compute));
  if (ranks == 1) return;
  if (rates.network == 0) {
    out << "  communication is left out: --network tells how fast it is\n";
    return;
  }
  row(out, "communication", milliseconds(time.network));
  row(out, "a step, if nothing overlaps", milliseconds(time.compute + time.network));
  row(out, "a step, if all of it does", milliseconds(std::max(time.compute, time.network)));
}

}  // namespace

Exit plan_command(Experiment const& experiment, PlanArguments const& arguments, std::ostream& out) {
  auto const target = target_of(experiment, arguments);
  int64_t const memory = target.traits.capacity;
  rates_of(arguments, {}, nullptr);  // what is written wrong is told before anything takes time
  auto const sizes = sizes_of(experiment, arguments, target.traits);
  auto const plan = plan_step(experiment, sizes);
  out << arguments.ranks << (arguments.ranks == 1 ? " rank, " : " ranks, ") << sizes.classes
      << " classes, batch " << experiment.data.global_batch_size << ", " << core::name(plan.dtype)
      << ", on " << target.traits.name << '\n'
      << plan.head << '\n';
  print_memory(out, plan);
  if (memory > 0) print_fit(out, experiment, sizes, plan.peak, memory);
  print_traffic(out, plan, arguments.ranks);
  print_time(out, plan, rates_of(arguments, plan, target.here.get()), arguments.ranks);
  return memory > 0 && plan.peak > memory ? Exit::out_of_memory : Exit::done;
}

}  // namespace train
