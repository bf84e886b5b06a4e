// Stand-in for cuDNN's backend API.
#include <algorithm>
#include <cudnn.h>
#include <set>
#include "tests/support/fake_cuda/cudnn_execution.h"
#include "tests/support/fake_cuda/fake_cuda.h"

struct cudnnContext {
  cudaStream_t stream = nullptr;
};

namespace tests::fake_cuda::cudnn {
namespace {

std::string& last_error() {
  thread_local std::string message;
  return message;
}

template <class F>
cudnnStatus_t status_of(F const& call) {
  try {
    call();
    return CUDNN_STATUS_SUCCESS;
  } catch (Refused const& refused) {
    last_error() = refused.why;
    return refused.status;
  }
}

cudnnContext& context_of(cudnnHandle_t handle) {
  require(handle != nullptr, "the handle is a null pointer", CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  return *handle;
}

/// A configuration of an engine for a graph, as the heuristic returns it.
Handle config_of(std::shared_ptr<Descriptor const> const& graph, int64_t index) {
  auto const engine = std::make_shared<Descriptor>(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  engine->put(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, {graph});
  engine->put(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, std::vector{index});
  engine->put(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
              engines().at(static_cast<size_t>(index)).notes);
  engine->finalize();
  auto const config = std::make_shared<Descriptor>(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  config->put(CUDNN_ATTR_ENGINECFG_ENGINE, {engine});
  config->finalize();
  return config;
}

void find_engines(Descriptor& heuristics) {
  auto const graph = heuristics.links(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH).front();
  auto const mode = heuristics.value<cudnnBackendHeurMode_t>(CUDNN_ATTR_ENGINEHEUR_MODE);
  Descriptor::Links configs;
  for (int64_t const index : heuristic(graph_of(*graph).pass, mode))
    configs.push_back(config_of(graph, index));
  heuristics.put(CUDNN_ATTR_ENGINEHEUR_RESULTS, std::move(configs));
}

void make_plan(Descriptor& plan) {
  Engine const& engine = engine_of(plan);
  support(engine.has_plans, "the engine does not support the graph");
  plan.put(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64,
           std::vector{engine.workspace});
}

void check_pack(Descriptor const& pack) {
  auto const uids = pack.values<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  auto const pointers = pack.values<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  require(uids.size() == pointers.size(),
          core::join("variant pack: ", uids.size(), " ids, ", pointers.size(), " addresses"));
  require(std::set(uids.begin(), uids.end()).size() == uids.size(),
          "variant pack: an id occurs twice");
  require(std::find(pointers.begin(), pointers.end(), nullptr) == pointers.end(),
          "variant pack: an address is a null pointer", CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
}

void finalize(Descriptor& descriptor) {
  descriptor.complete();
  switch (descriptor.type()) {
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
      find_engines(descriptor);
      break;
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
      make_plan(descriptor);
      break;
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
      check_pack(descriptor);
      break;
    default:
      check(descriptor);
  }
  descriptor.finalize();
}

/// Returns a final descriptor of a type.
Descriptor const& final_of(cudnnBackendDescriptor_t handle, cudnnBackendDescriptorType_t type) {
  Descriptor const& descriptor = *handle_of(handle);
  require(descriptor.type() == type, "execution: a descriptor of the wrong type",
          CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE);
  require(descriptor.final(), "execution: a descriptor that is not finalized",
          CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED);
  return descriptor;
}

}  // namespace
}  // namespace tests::fake_cuda::cudnn

using namespace tests::fake_cuda;
using namespace tests::fake_cuda::cudnn;

extern "C" {

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  return status_of([&] {
    require(handle != nullptr, "no place for a handle", CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
    *handle = new cudnnContext();
  });
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  delete handle;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  return status_of([&] { context_of(handle).stream = stream; });
}

char const* cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
    case CUDNN_STATUS_SUCCESS:
      return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_NOT_INITIALIZED:
      return "CUDNN_STATUS_NOT_INITIALIZED";
    case CUDNN_STATUS_BAD_PARAM:
      return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_BAD_PARAM_NULL_POINTER:
      return "CUDNN_STATUS_BAD_PARAM_NULL_POINTER";
    case CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER:
      return "CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER";
    case CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED:
      return "CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED";
    case CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES:
      return "CUDNN_STATUS_BAD_PARAM_DUPLICATED_ENTRIES";
    case CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE:
      return "CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE";
    case CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE:
      return "CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE";
    case CUDNN_STATUS_NOT_SUPPORTED:
      return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN:
      return "CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN";
    case CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE:
      return "CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE";
    default:
      return "CUDNN_UNKNOWN_STATUS";
  }
}

void cudnnGetLastErrorString(char* message, size_t most) {
  if (most == 0) return;
  size_t const length = std::min(most - 1, last_error().size());
  std::copy_n(last_error().begin(), length, message);
  message[length] = '\0';
  last_error().clear();
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t* descriptor) {
  return status_of([&] {
    require(descriptor != nullptr, "no place for a descriptor",
            CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
    *descriptor = new Handle(std::make_shared<Descriptor>(type));
  });
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  return status_of([&] { delete &handle_of(descriptor); });
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count,
                                       void const* values) {
  return status_of([&] { handle_of(descriptor)->set(name, type, count, values); });
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  return status_of([&] { finalize(*handle_of(descriptor)); });
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t most,
                                       int64_t* count, void* values) {
  return status_of([&] { handle_of(descriptor)->get(name, type, most, count, values); });
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack) {
  return status_of([&] {
    Execution const execution(final_of(plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR),
                              final_of(pack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR));
    cudaStream_t const stream = context_of(handle).stream;
    require(stream != nullptr, "the default stream, which is not implemented");
    enqueue(stream, "cudnnBackendExecute", [execution] {
      execution.run();
      return true;
    });
  });
}

}  // extern "C"
