#pragma once
#include <memory>
#include "core/device.h"
#include "core/kernels.h"

namespace tests {

/// A GPU simulated on the host. Each tensor's memory is allocated separately between guard bytes,
/// or red zones of AddressSanitizer, and is NaN until it is written.
class SimulatedDevice final : public core::Device {
 public:
  /// `kernels` work on host memory: CUDA kernels under the simulator, or the CPU's own.
  explicit SimulatedDevice(std::unique_ptr<core::Kernels> kernels);

  /// Throws: Error if a kernel has written before or past the memory of a tensor of this device,
  /// alive or freed. download and synchronize throw it as well, as a GPU's report errors of
  /// kernels.
  void check_guards() const;

  std::string describe() const override { return "CUDA, simulated on the host"; }
  bool fast_bf16() const override { return false; }
  std::shared_ptr<std::byte> allocate(size_t bytes) override;
  core::MemoryUse memory() const override;
  /// Small, so that small tensors are divided like large ones.
  int64_t cache_bytes() const override { return 64 << 10; }
  int64_t capacity() const override { return int64_t{1} << 30; }
  int64_t free_memory() const override { return capacity(); }
  bool on_host() const override { return false; }
  core::Kernels& kernels() override { return *kernels_; }
  void upload(void const* host, core::Tensor& tensor) override;
  void download(core::Tensor const& tensor, void* host) override;
  void copy(core::Tensor const& from, core::Tensor& to) override;
  void synchronize() override { check_guards(); }
  std::unique_ptr<core::InputStage> input_stage() override;
  bool can_capture() const override { return false; }
  std::unique_ptr<core::Graph> capture(std::function<void()> const&) override {
    core::fail("the simulated GPU executes eagerly; there is nothing to capture");
  }

 private:
  struct Memory;
  std::shared_ptr<Memory> memory_;  // outlives tensors that outlive the device
  std::unique_ptr<core::Kernels> kernels_;
};

}  // namespace tests
