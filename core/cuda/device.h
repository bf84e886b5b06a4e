#pragma once
#include "core/cuda/handle.h"
#include "core/cuda/kernels.h"
#include "core/cuda/memory.h"
#include "core/cuda/staging.h"
#include "core/device.h"

namespace core::cuda {

/// One NVIDIA GPU. Work is queued on its compute stream. Memory is allocated and freed in stream
/// order, so a tensor may be destroyed while work on it is still queued. Calls must come from one
/// thread at a time.
class Cuda final : public Device {
 public:
  /// Throws: Error if there is no such GPU, or its compute capability is below 8.0.
  Cuda(int index, Options const& options);
  ~Cuda() override;

  int index() const { return index_; }
  StreamHandle stream() const;                                                ///< compute stream
  StreamHandle communication_stream() const { return communication_.get(); }  ///< for comm
  /// Makes this GPU current in the calling thread. Needed in threads from which libraries are
  /// called.
  void bind() const;
  /// Sets a function that is called whenever the host has waited for the compute stream, before the
  /// results are used. It throws if work has failed that the CUDA runtime considers complete: an
  /// aborted collective. Null: no check.
  void after_wait(std::function<void()> check) { after_wait_ = std::move(check); }
  /// Sets a function that is called in place of the launch of a graph. It must call its argument,
  /// which launches the graph on the compute stream. Null: graphs are launched directly.
  void around_replay(std::function<void(std::function<void()> const& launch)> function) {
    around_replay_ = std::move(function);
  }
  /// Makes the graph that is being captured an owner of `used`, which its work refers to: a
  /// communicator. The graph is destroyed first.
  void keep_with_graph(std::shared_ptr<void> const& used);

  std::string describe() const override;
  bool fast_bf16() const override { return true; }
  std::shared_ptr<std::byte> allocate(size_t bytes) override;
  MemoryUse memory() const override;
  int64_t cache_bytes() const override { return cache_bytes_; }
  int64_t capacity() const override { return capacity_; }
  int64_t free_memory() const override;
  bool on_host() const override { return false; }
  Kernels& kernels() override { return *kernels_; }
  void upload(void const* host, Tensor& tensor) override;
  void download(Tensor const& tensor, void* host) override;
  void copy(Tensor const& from, Tensor& to) override;
  void synchronize() override;
  std::unique_ptr<InputStage> input_stage() override;
  bool can_capture() const override { return true; }
  void rehearse(std::function<void()> const& work) override { memory_->rehearse(work); }
  /// Captures a CUDA graph. `work` may use the communication stream if the compute stream waits for
  /// it at the end.
  std::unique_ptr<core::Graph> capture(std::function<void()> const& work) override;

 private:
  class CapturedGraph;
  void replay(GraphExec const& graph) const;

  int index_;
  std::string description_;
  int64_t cache_bytes_ = 0, capacity_ = 0;
  std::shared_ptr<Memory> memory_;  ///< shared with tensors, which may outlive the device
  Stream communication_;
  Staging staging_;
  std::unique_ptr<CudaKernels> kernels_;
  std::function<void()> after_wait_;
  std::function<void(std::function<void()> const&)> around_replay_;
  std::vector<std::shared_ptr<void>> kept_;  ///< objects of the graph that is being captured
};

}  // namespace core::cuda
