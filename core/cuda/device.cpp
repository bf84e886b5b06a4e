#include "core/cuda/device.h"
#include <cstring>
#include <exception>
#include <mutex>
#include "core/cuda/input_stage.h"

namespace core::cuda {
namespace {

constexpr size_t least_bytes = 256;  // alignment of every allocation

cudaMemPool_t default_pool(int index) {
  cudaMemPool_t pool = nullptr;
  check(cudaDeviceGetDefaultMemPool(&pool, index));
  return pool;
}

/// Captured graph; replay() queues it on the stream it was captured from.
class InstantiatedGraph final : public core::Graph {
 public:
  InstantiatedGraph(GraphExec graph, cudaStream_t stream)
      : graph_(std::move(graph)), stream_(stream) {}
  void replay() override { check(cudaGraphLaunch(graph_.get(), stream_)); }

 private:
  GraphExec graph_;
  cudaStream_t stream_;
};

}  // namespace

/// Compute stream and the CUDA runtime's memory pool, whose allocations are ordered on it.
struct Cuda::Memory {
  explicit Memory(int index) : stream(make_stream()), pool(default_pool(index)) {
    // Keep freed memory for later tensors instead of releasing it at each synchronization.
    uint64_t keep = UINT64_MAX;
    check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep));
  }

  std::byte* take(size_t bytes) {
    void* memory = nullptr;
    auto status = cudaMallocFromPoolAsync(&memory, bytes, pool, stream.get());
    if (status == cudaErrorMemoryAllocation && !capturing(stream.get())) {
      cudaGetLastError();
      give_back_cached();
      status = cudaMallocFromPoolAsync(&memory, bytes, pool, stream.get());
    }
    if (status == cudaErrorMemoryAllocation) fail_without_memory(bytes);
    check(status);
    std::scoped_lock const lock(mutex);
    use.now += bytes;
    use.peak = std::max(use.peak, use.now);
    return static_cast<std::byte*>(memory);
  }

  void give_back(std::byte* memory, size_t bytes) noexcept {
    cudaFreeAsync(memory, stream.get());
    std::scoped_lock const lock(mutex);
    use.now -= bytes;
  }

  /// Releases cached memory of the pool to the GPU, after all queued work is done.
  void give_back_cached() const {
    check(cudaStreamSynchronize(stream.get()));
    check(cudaMemPoolTrimTo(pool, 0));
  }

  [[noreturn]] void fail_without_memory(size_t bytes) const {
    cudaGetLastError();
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    throw OutOfMemory(join("out of memory: requested ", bytes, " bytes with ", use.now,
                           " bytes in use, and ", free, " of ", total, " bytes free on the GPU"));
  }

  Stream stream;
  cudaMemPool_t pool;
  mutable std::mutex mutex;
  MemoryUse use;
};

Cuda::Cuda(int index, Options const& options) : index_(index) {
  bind();
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, index));
  check(properties.major >= 8, "", properties.name, " (GPU ", index, ") has compute capability ",
        properties.major, '.', properties.minor, "; 8.0 or later is needed");
  description_ = join(properties.name, " (GPU ", index, "), ", properties.multiProcessorCount,
                      " multiprocessors, ", properties.totalGlobalMem >> 30, " GiB");
  cache_bytes_ = properties.l2CacheSize / 2;  // the other half is left for streamed data
  capacity_ = static_cast<int64_t>(properties.totalGlobalMem);
  memory_ = std::make_shared<Memory>(index);
  communication_ = make_stream();
  kernels_ = std::make_unique<CudaKernels>(stream(), options);
}

/// Waits: libraries may still use memory they were given.
Cuda::~Cuda() { cudaStreamSynchronize(stream()); }

StreamHandle Cuda::stream() const { return memory_->stream.get(); }

void Cuda::bind() const { check(cudaSetDevice(index_)); }

std::string Cuda::describe() const { return description_; }

std::shared_ptr<std::byte> Cuda::allocate(size_t bytes) {
  size_t const size = std::max(bytes, least_bytes);
  std::byte* const memory = memory_->take(size);
  return {memory, [owner = memory_, size](std::byte* freed) { owner->give_back(freed, size); }};
}

MemoryUse Cuda::memory() const {
  std::scoped_lock const lock(memory_->mutex);
  return memory_->use;
}

void Cuda::upload(void const* host, Tensor& tensor) {
  if (tensor.bytes() > 0) staging_.copy(host, tensor.bytes(), tensor.raw(), stream());
}

void Cuda::download(Tensor const& tensor, void* host) {
  if (tensor.bytes() > 0)
    check(cudaMemcpyAsync(host, tensor.raw(), tensor.bytes(), cudaMemcpyDeviceToHost, stream()));
  synchronize();
}

void Cuda::copy(Tensor const& from, Tensor& to) {
  if (from.bytes() > 0)
    check(cudaMemcpyAsync(to.raw(), from.raw(), from.bytes(), cudaMemcpyDeviceToDevice, stream()));
}

void Cuda::synchronize() {
  check(cudaStreamSynchronize(stream()));
  if (after_wait_) after_wait_();
}

std::unique_ptr<InputStage> Cuda::input_stage() { return std::make_unique<CudaInputStage>(*this); }

std::unique_ptr<core::Graph> Cuda::capture(std::function<void()> const& work) {
  memory_->give_back_cached();  // graphs allocate their memory separately
  check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal));
  std::exception_ptr failure;
  try {
    work();
  } catch (...) {
    failure = std::current_exception();
  }
  cudaGraph_t raw = nullptr;
  auto const ended = cudaStreamEndCapture(stream(), &raw);  // always, or the stream stays unusable
  Graph const graph(raw);
  if (failure) std::rethrow_exception(failure);
  check(ended);
  cudaGraphExec_t exec = nullptr;
  check(cudaGraphInstantiate(&exec, graph.get(), cudaGraphInstantiateFlagAutoFreeOnLaunch));
  return std::make_unique<InstantiatedGraph>(GraphExec(exec), stream());
}

}  // namespace core::cuda
