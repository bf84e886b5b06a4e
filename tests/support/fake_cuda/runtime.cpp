// Errors and devices of the CUDA runtime, and the queueing of work.
#include "tests/support/fake_cuda/runtime.h"
#include <cstring>
#include <map>
#include <unistd.h>
#include <utility>
#include "tests/support/fake_cuda/memory.h"

namespace tests::fake_cuda {
namespace {

thread_local cudaError_t last_error = cudaSuccess;

/// Failures of calls to come, by name.
std::multimap<std::string, cudaError_t>& failures() {
  static auto* const failures = new std::multimap<std::string, cudaError_t>;
  return *failures;
}

Capture* capture_of_this_thread() {
  for (Capture* capture : captures())
    if (capture->any_thread || capture->thread == std::this_thread::get_id()) return capture;
  return nullptr;
}

}  // namespace

cudaError_t fail(cudaError_t error) { return last_error = error; }

cudaError_t fail(cudaError_t error, std::string const& what) {
  misuse(what);
  return fail(error);
}

cudaError_t invalidate(CUstream_st const* stream, cudaError_t error, std::string const& what) {
  stream->end.capture->valid = false;
  return fail(error, what);
}

Call::Call(char const* name) : lock_(mutex()) {
  auto const found = failures().find(name);
  if (found == failures().end()) return;
  failure = fail(found->second);
  failures().erase(found);
}

cudaError_t check_safe(char const* call) {
  Capture* const capture = capture_of_this_thread();
  if (capture == nullptr) return cudaSuccess;
  capture->valid = false;
  return fail(cudaErrorStreamCaptureUnsupported, std::string(call) + " during a capture");
}

cudaError_t check_valid(CUstream_st const* stream) {
  if (!stream->end.capture || stream->end.capture->valid) return cudaSuccess;
  return fail(cudaErrorStreamCaptureInvalidated);
}

std::set<Capture*>& captures() {
  static auto* const captures = new std::set<Capture*>;
  return *captures;
}

Nodes& nodes_of_last_graph() {
  static auto* const nodes = new Nodes;
  return *nodes;
}

void queue_operation(CUstream_st* stream, char const* what, std::function<Progress()> advance) {
  auto operation = std::make_shared<Operation>(Operation{what, std::move(advance), {}});
  operation->after = std::exchange(stream->end.operations, {operation});
  queue(std::move(operation));
}

void enqueue(CUstream_st* stream, char const* what, Work work) {
  std::scoped_lock const lock(mutex());
  if (check_valid(stream) != cudaSuccess) return;
  if (stream->end.capture) return add_node(stream, what, std::move(work));
  queue_operation(stream, what,
                  [work = std::move(work)] { return work() ? Progress::done : Progress::waiting; });
}

std::string take_last_error() {
  auto const error = std::exchange(last_error, cudaSuccess);
  return error == cudaSuccess ? "" : cudaGetErrorName(error);
}

bool capturing(CUstream_st* stream) {
  std::scoped_lock const lock(mutex());
  return stream->end.capture != nullptr;
}

void attach_to_graph(CUstream_st* stream, std::shared_ptr<void> owned) {
  std::scoped_lock const lock(mutex());
  stream->end.capture->graph->owned.push_back(std::move(owned));
}

bool allocated_by_graph(CUstream_st* stream, void const* data) {
  std::scoped_lock const lock(mutex());
  return stream->end.capture && stream->end.capture->graph->memory.has(data);
}

void fail_next(std::string const& call, int status) {
  std::scoped_lock const lock(mutex());
  failures().emplace(call, static_cast<cudaError_t>(status));
}

Nodes last_graph() {
  std::scoped_lock const lock(mutex());
  return nodes_of_last_graph();
}

}  // namespace tests::fake_cuda

using namespace tests::fake_cuda;

extern "C" {

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }

char const* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureUnjoined:
      return "cudaErrorStreamCaptureUnjoined";
    case cudaErrorStreamCaptureIsolation:
      return "cudaErrorStreamCaptureIsolation";
    case cudaErrorCapturedEvent:
      return "cudaErrorCapturedEvent";
    default:
      return "an error of the stand-in";
  }
}
char const* cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory" : cudaGetErrorName(error);
}

cudaError_t cudaGetDeviceCount(int* count) {
  CALL;
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int index) {
  CALL;
  return index == 0 ? cudaSuccess : fail(cudaErrorInvalidDevice);
}

/// Every process has a GPU of its own.
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  CALL;
  *properties = {};
  std::strcpy(properties->name, "stand-in for a GPU");
  properties->major = 9;
  properties->totalGlobalMem = settings().memory;
  properties->l2CacheSize = 128 << 10;
  properties->multiProcessorCount = 4;
  pid_t const process = getpid();
  std::memcpy(properties->uuid.bytes, &process, sizeof process);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  CALL;
  *total = settings().memory;
  *free = *total - pool_bytes() - graph_bytes();
  return cudaSuccess;
}
}
