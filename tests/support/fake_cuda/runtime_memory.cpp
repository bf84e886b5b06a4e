// Memory and copies of the CUDA runtime.
#include <cstring>
#include "tests/support/fake_cuda/memory.h"
#include "tests/support/fake_cuda/runtime.h"

namespace tests::fake_cuda {
namespace {

Work copy_work(void* to, void const* from, size_t bytes, bool to_gpu, bool from_gpu) {
  return [=] {
    if (to_gpu && !on_gpu(to, bytes)) misuse("a copy to memory that is not allocated on the GPU");
    if (from_gpu && !on_gpu(from, bytes))
      misuse("a copy from memory that is not allocated on the GPU");
    std::memmove(to, from, bytes);
    return true;
  };
}

cudaError_t upload(void* to, void const* from, size_t bytes, cudaStream_t stream) {
  if (stream->end.capture)
    return invalidate(stream, cudaErrorStreamCaptureUnsupported,
                      "an upload in a capture: each replay would read the host's memory again");
  if (locked(from)) {
    begin_use(from);
    enqueue(stream, "upload", [copy = copy_work(to, from, bytes, true, false), from] {
      end_use(from);
      return copy();
    });
    return cudaSuccess;
  }
  auto const* const begin = static_cast<std::byte const*>(from);
  auto const kept = std::make_shared<std::vector<std::byte>>(begin, begin + bytes);
  enqueue(stream, "upload",
          [copy = copy_work(to, kept->data(), bytes, true, false), kept] { return copy(); });
  return cudaSuccess;
}

cudaError_t allocate_in_graph(void** memory, size_t bytes, cudaStream_t stream) {
  auto& graph = *stream->end.capture->graph;
  *memory = graph.memory.allocate(bytes, [stream](int node) { return precedes(stream, node); });
  enqueue(stream, "allocation", [data = *memory, bytes] {
    open(data, bytes);
    return true;
  });
  return cudaSuccess;
}

cudaError_t free_in_graph(void* memory, cudaStream_t stream) {
  auto& graph = *stream->end.capture->graph;
  if (graph.memory.free(memory, static_cast<int>(graph.nodes.size())) == 0)
    return invalidate(stream, cudaErrorInvalidValue,
                      "cudaFreeAsync in a capture of memory that the graph has not allocated");
  enqueue(stream, "free", [memory] {
    close(memory);
    return true;
  });
  return cudaSuccess;
}

}  // namespace
}  // namespace tests::fake_cuda

using namespace tests::fake_cuda;

extern "C" {

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int) {
  CALL;
  static int the_pool;
  *pool = reinterpret_cast<cudaMemPool_t>(&the_pool);
  return cudaSuccess;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr name, void*) {
  CALL;
  return name == cudaMemPoolAttrReleaseThreshold ? cudaSuccess : fail(cudaErrorInvalidValue);
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr name, void* value) {
  CALL;
  if (name != cudaMemPoolAttrReservedMemCurrent) return fail(cudaErrorInvalidValue);
  *static_cast<uint64_t*>(value) = pool_bytes();
  return cudaSuccess;
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) {
  CALL;
  if (auto const error = check_safe(__func__)) return error;
  pool_trim();
  return cudaSuccess;
}

cudaError_t cudaMallocFromPoolAsync(void** memory, size_t bytes, cudaMemPool_t,
                                    cudaStream_t stream) {
  CALL;
  if (auto const error = check_valid(stream)) return error;
  if (stream->end.capture) return allocate_in_graph(memory, bytes, stream);
  *memory = pool_allocate(bytes, stream);
  return *memory != nullptr ? cudaSuccess : fail(cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream) {
  CALL;
  if (auto const error = check_valid(stream)) return error;
  if (stream->end.capture) return free_in_graph(memory, stream);
  if (pool_free(memory, stream)) return cudaSuccess;
  return fail(cudaErrorInvalidValue, "cudaFreeAsync of memory that is not allocated");
}

cudaError_t cudaDeviceGraphMemTrim(int) {
  CALL;
  if (auto const error = check_safe(__func__)) return error;
  trim_graphs();
  return cudaSuccess;
}

cudaError_t cudaDeviceGetGraphMemAttribute(int, cudaGraphMemAttributeType name, void* value) {
  CALL;
  if (name != cudaGraphMemAttrReservedMemCurrent) return fail(cudaErrorInvalidValue);
  *static_cast<uint64_t*>(value) = graph_bytes();
  return cudaSuccess;
}

cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  CALL;
  if (auto const error = check_safe(__func__)) return error;
  *memory = lock_pages(bytes);
  return *memory != nullptr ? cudaSuccess : fail(cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void* memory) {
  CALL;
  if (auto const error = check_safe(__func__)) return error;
  unlock_pages(memory);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, void const* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  Frontier copied;
  {
    CALL;
    if (auto const error = check_valid(stream)) return error;
    if (kind == cudaMemcpyHostToDevice) return upload(to, from, bytes, stream);
    bool const down = kind == cudaMemcpyDeviceToHost;
    if (down && stream->end.capture)
      return invalidate(stream, cudaErrorStreamCaptureUnsupported, "a download in a capture");
    enqueue(stream, down ? "download" : "copy", copy_work(to, from, bytes, !down, true));
    if (!down || locked(to)) return cudaSuccess;
    copied = stream->end;
  }
  wait_for(copied);  // memory that is not page-locked
  return cudaSuccess;
}
}
