#include "core/cuda/cudnn_plans.h"
#include <algorithm>

namespace core::cuda {

namespace {

constexpr int64_t most_workspace = int64_t{1} << 30;  // bytes

/// Returns cuDNN's engine configurations, best first; empty if it has no engine in this heuristic
/// mode, with the reason in `refused`.
std::vector<Descriptor> configs_of(Descriptor const& graph, Gpu const& gpu,
                                   cudnnBackendHeurMode_t mode, std::string& refused) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
      .set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
  gpu.tell_heuristics(heuristics);
  if (auto const status = heuristics.finalise(); status != CUDNN_STATUS_SUCCESS) {
    refused = explain(status);
    return {};
  }
  return heuristics.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
}

Notes notes_of(Descriptor const& config) {
  auto const engines = config.get(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  return engines.at(0).get<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                        CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
}

/// Adds the plan of a configuration, or stores the reason for its rejection in plans.refused.
void add_plan(Descriptor config, Convolution const& convolution, Gpu const& gpu,
              Options const& options, Plans& plans) {
  Notes notes = notes_of(config);
  if (!allowed(notes, convolution.dtype, options)) {
    plans.refused =
        "the options do not allow the engine's numerical properties (tf32, deterministic)";
    return;
  }
  Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
  gpu.tell_plan(plan);
  if (auto const status = plan.finalise(); status != CUDNN_STATUS_SUCCESS) {
    plans.refused = explain(status);
    return;
  }
  int64_t const workspace = plan.get<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, 1).at(0);
  if (workspace > most_workspace) {
    plans.refused = join("the plan requires too much workspace: ", workspace, " bytes");
    return;
  }
  plans.best_first.push_back({std::move(config), std::move(plan), std::move(notes), workspace});
}

}  // namespace

bool allowed(Notes const& notes, Dtype dtype, Options const& options) {
  return std::none_of(notes.begin(), notes.end(), [&](cudnnBackendNumericalNote_t note) {
    switch (note) {
      case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
      case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
        return true;
      case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:  // f32 would be rounded to TF32
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
      case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
        return dtype == Dtype::f32 && !options.tf32;
      case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
        return options.deterministic;
      default:
        return false;
    }
  });
}

Plans plans_of(Convolution const& convolution, Gpu const& gpu, Options const& options,
               size_t most) {
  Plans plans;
  Descriptor const graph = graph_of(convolution, gpu);
  for (auto const mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
    for (Descriptor& config : configs_of(graph, gpu, mode, plans.refused)) {
      if (plans.best_first.size() == most) return plans;
      add_plan(std::move(config), convolution, gpu, options, plans);
    }
  return plans;
}

}  // namespace core::cuda
