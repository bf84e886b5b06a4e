#include "train/plan/target.h"
#include "core/cpu/device.h"
#include "core/cuda/open.h"
#include "train/model/open_device.h"
#include "train/plan/product_rates.h"
#include "train/plan/quantity.h"

namespace train {
namespace {

constexpr int64_t assumed_cache = int64_t{25}
                                  << 20;  ///< Device::cache_bytes of an H100: half its L2

double given(char const* name, std::string const& text, char const* unit) {
  return text.empty() ? 0 : parse_quantity(name, text, unit);
}

Target target_without_memory(Experiment const& experiment, PlanArguments const& arguments) {
  bool const gpu = experiment.device != DeviceChoice::cpu;
  if (!arguments.cache.empty()) {
    auto const cache = static_cast<int64_t>(parse_quantity("--cache", arguments.cache, "B"));
    return {.traits = {"a device with a cache of " + arguments.cache, cache, gpu, 0, !gpu}};
  }
  Target target;
  if (gpu && core::cuda::available().count > 0)
    target.here = core::cuda::open(0, {experiment.run.tf32, experiment.run.deterministic});
  else if (experiment.device == DeviceChoice::cuda)
    return {.traits = {"a GPU with a cache of 50 MB", assumed_cache, true}};
  else
    target.here = std::make_unique<core::cpu::Cpu>(threads_of(experiment.run, arguments.ranks));
  auto const& here = *target.here;
  target.traits = {here.describe(), here.cache_bytes(), here.fast_bf16(), 0, here.on_host()};
  return target;
}

/// The size of the images if the configuration determines it; otherwise zeros.
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

}  // namespace

Target target_of(Experiment const& experiment, PlanArguments const& arguments) {
  auto target = target_without_memory(experiment, arguments);
  int const sharing = target.traits.on_host ? arguments.ranks : 1;
  if (target.here) target.memory = target.here->capacity() / sharing;
  if (!arguments.memory.empty())
    target.memory = static_cast<int64_t>(parse_quantity("--memory", arguments.memory, "B"));
  target.traits.capacity = target.memory * sharing;
  return target;
}

PlanSizes sizes_of(Experiment const& experiment, PlanArguments const& arguments,
                   core::dry::Traits const& device) {
  PlanSizes sizes{
      .ranks = arguments.ranks, .image = configured_image(experiment.data), .device = device};
  auto const configured = configured_classes(experiment.data);
  sizes.classes = arguments.classes ? *arguments.classes : configured.value_or(0);
  if (sizes.classes > 0 && sizes.image.count() > 0) return sizes;
  auto const task = open_task(experiment.data, experiment.seed);
  sizes.image = task.train.data->shape();
  if (sizes.classes == 0) sizes.classes = task.classes;
  return sizes;
}

Rates given_rates(PlanArguments const& arguments) {
  return {given("--flops", arguments.flops, ""), given("--bandwidth", arguments.bandwidth, "B"),
          given("--network", arguments.network, "B")};
}

Rates measured_rates(Rates rates, StepPlan const& plan, core::Device& here) {
  if (rates.flops == 0) {
    auto const t = measure_products(here, plan.dtype, plan.rows, plan.features, plan.chunk);
    auto const flops = 6.0 * static_cast<double>(plan.rows * plan.features * plan.chunk);
    rates.flops = flops / (t.logits + t.features + t.weights);
  }
  if (rates.memory == 0) rates.memory = measure_bandwidth(here);
  return rates;
}

}  // namespace train
