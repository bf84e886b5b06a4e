#pragma once
#include <mutex>
#include <unordered_map>
#include <vector>
#include "core/cpu/kernels.h"
#include "core/device.h"

namespace core::cpu {

/// The host's processor and memory. Kernels run on `threads` OpenMP threads.
class Cpu final : public Device {
 public:
  /// 0 threads: as many as OpenMP offers.
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
  bool on_host() const override { return true; }
  std::unique_ptr<InputStage> input_stage() override;
  bool can_capture() const override { return false; }
  std::unique_ptr<Graph> capture(std::function<void()> const& work) override;

 private:
  /// Freed blocks by size: steps ask for the same sizes again, and fresh pages are slow.
  struct Pool;
  std::shared_ptr<Pool> pool_;  // outlives tensors that outlive the device
  int threads_;
  CpuKernels kernels_;
};

}  // namespace core::cpu
