#pragma once
#include <mutex>
#include <unordered_map>
#include <vector>
#include "core/cpu/kernels.h"
#include "core/device.h"

namespace core::cpu {

/// CPU device: the host's processor and memory. Kernels run on `threads` OpenMP threads.
class Cpu final : public Device {
 public:
  /// 0 threads: the default of OpenMP (omp_get_max_threads).
  explicit Cpu(int threads = 0);

  std::string describe() const override;
  bool fast_bf16() const override;
  std::shared_ptr<std::byte> allocate(size_t bytes) override;
  MemoryUse memory() const override;
  Kernels& kernels() override;
  void upload(void const* host, Tensor& tensor) override;
  void download(Tensor const& tensor, void* host) override;
  void copy(Tensor const& from, Tensor& to) override;
  void synchronize() override {}
  int64_t cache_bytes() const override { return int64_t{4} << 20; }
  int64_t capacity() const override;
  int64_t free_memory() const override;
  bool on_host() const override { return true; }
  std::unique_ptr<InputStage> input_stage() override;
  bool can_capture() const override { return false; }
  std::unique_ptr<Graph> capture(std::function<void()> const& work) override;

 private:
  /// Cache of freed blocks, by size: training steps allocate the same sizes repeatedly, and first
  /// access to fresh pages is slow.
  struct Pool;
  std::shared_ptr<Pool> pool_;  // shared with tensors, which may outlive the device
  int threads_;
  CpuKernels kernels_;
};

}  // namespace core::cpu
