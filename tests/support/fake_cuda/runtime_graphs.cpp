// Captures and graphs of the CUDA runtime.
#include <algorithm>
#include <cstring>
#include <utility>
#include "tests/support/fake_cuda/runtime.h"

struct CUgraph_st {
  std::shared_ptr<tests::fake_cuda::Graph> graph;
};

struct CUgraphExec_st {
  std::shared_ptr<tests::fake_cuda::Graph> graph;
  bool frees_leaks;
};

namespace tests::fake_cuda {
namespace {

/// Whether all work of the capture's streams precedes the end of its origin.
bool all_joined(Capture const& capture) {
  for (auto* const stream : capture.streams)
    for (int const node : stream->end.nodes)
      if (!precedes(capture.origin, node)) return false;
  return true;
}

cudaError_t finish_capture(Capture& capture) {
  bool const joined = all_joined(capture);
  for (auto* const stream : capture.streams) {
    stream->end.capture = nullptr;
    stream->end.nodes.clear();
  }
  capture.streams.clear();
  captures().erase(&capture);
  if (!capture.valid) return fail(cudaErrorStreamCaptureInvalidated);
  if (joined) return cudaSuccess;
  return fail(cudaErrorStreamCaptureUnjoined, "a stream of a capture was not joined");
}

void count(Graph const& graph) {
  auto const memory = std::ranges::count_if(graph.nodes, [](Node const& node) {
    return std::strcmp(node.what, "allocation") == 0 || std::strcmp(node.what, "free") == 0;
  });
  nodes_of_last_graph() = {std::ssize(graph.nodes), memory};
}

}  // namespace
}  // namespace tests::fake_cuda

using namespace tests::fake_cuda;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  CALL;
  if (stream->end.capture) return fail(cudaErrorIllegalState, "a capture in a capture");
  auto const capture = std::make_shared<Capture>();
  capture->origin = stream;
  capture->thread = std::this_thread::get_id();
  capture->any_thread = mode == cudaStreamCaptureModeGlobal;
  capture->streams = {stream};
  stream->end.capture = capture;
  captures().insert(capture.get());
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  CALL;
  *graph = nullptr;
  auto const capture = stream->end.capture;
  if (!capture || capture->origin != stream)
    return fail(cudaErrorIllegalState, "the end of a capture that has not begun on this stream");
  if (capture->thread != std::this_thread::get_id())
    return fail(cudaErrorStreamCaptureWrongThread, "a capture ends on another thread");
  if (auto const error = finish_capture(*capture)) return error;
  count(*capture->graph);
  *graph = new CUgraph_st{std::exchange(capture->graph, nullptr)};
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* instance, cudaGraph_t graph,
                                 unsigned long long flags) {
  CALL;
  *instance =
      new CUgraphExec_st{graph->graph, (flags & cudaGraphInstantiateFlagAutoFreeOnLaunch) != 0};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t instance, cudaStream_t stream) {
  CALL;
  if (auto const error = check_valid(stream)) return error;
  auto const graph = instance->graph;
  if (!graph->memory.map()) return fail(cudaErrorMemoryAllocation);
  queue_operation(
      stream, "graph",
      [graph, frees = instance->frees_leaks, begun = false, run = replay(graph)]() mutable {
        if (!std::exchange(begun, true) && !graph->memory.free_leaks() && !frees)
          misuse("a graph is launched again before its memory is freed");
        return run();
      });
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  CALL;
  delete graph;
  return cudaSuccess;
}
/// A launch in progress keeps what it needs.
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t instance) {
  CALL;
  delete instance;
  return cudaSuccess;
}
}
