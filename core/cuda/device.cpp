#include "core/cuda/device.h"
#include <algorithm>
#include <exception>
#include <utility>
#include "core/cuda/input_stage.h"

namespace core::cuda {

/// Captured graph; replay() queues it on the stream it was captured from.
class Cuda::CapturedGraph final : public core::Graph {
 public:
  CapturedGraph(Cuda& device, GraphExec graph, std::vector<std::shared_ptr<void>> kept)
      : device_(device), kept_(std::move(kept)), graph_(std::move(graph)) {}
  void replay() override { device_.replay(graph_); }

 private:
  Cuda& device_;
  std::vector<std::shared_ptr<void>> kept_;
  GraphExec graph_;  // destroyed before what it uses
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
Cuda::~Cuda() { ignore(cudaStreamSynchronize(stream()), "cudaStreamSynchronize"); }

StreamHandle Cuda::stream() const { return memory_->stream(); }

void Cuda::bind() const { check(cudaSetDevice(index_)); }

std::string Cuda::describe() const { return description_; }

std::shared_ptr<std::byte> Cuda::allocate(size_t bytes) { return memory_->allocate(bytes); }

MemoryUse Cuda::memory() const { return memory_->use(); }

int64_t Cuda::free_memory() const { return memory_->free(); }

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

void Cuda::keep_with_graph(std::shared_ptr<void> const& used) {
  if (std::ranges::find(kept_, used) == kept_.end()) kept_.push_back(used);
}

std::unique_ptr<core::Graph> Cuda::capture(std::function<void()> const& work) {
  memory_->give_back_cached();  // graphs reserve their memory separately
  check(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal));
  std::exception_ptr failure;
  try {
    memory_->begin_capture();
    work();
    memory_->end_capture();
  } catch (...) {
    failure = std::current_exception();
    memory_->abandon_capture();
  }
  cudaGraph_t raw = nullptr;
  auto const ended = cudaStreamEndCapture(stream(), &raw);  // always, or the stream stays unusable
  auto kept = std::exchange(kept_, {});                     // destroyed after the graph
  Graph const graph(raw);
  if (failure) {
    cudaGetLastError();  // the capture that the failure has invalidated
    std::rethrow_exception(failure);
  }
  check(ended);
  return std::make_unique<CapturedGraph>(*this, memory_->instantiate(graph), std::move(kept));
}

void Cuda::replay(GraphExec const& graph) const {
  auto const launch = [&] { memory_->launch(graph); };
  if (around_replay_)
    around_replay_(launch);
  else
    launch();
}

}  // namespace core::cuda
