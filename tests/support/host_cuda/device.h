#pragma once
#include <memory>
#include "core/device.h"
#include "core/kernels.h"

namespace tests {

/// A GPU simulated on the host: each tensor's memory lies alone between guard bytes, or red zones
/// of AddressSanitizer, and is NaN until it is written.
class SimulatedDevice final : public core::Device {
 public:
  /// Kernels whose memory is the host's: CUDA kernels under the simulator, or the CPU's own.
  explicit SimulatedDevice(std::unique_ptr<core::Kernels> kernels);

  /// Throws Error where a kernel has written before or past a tensor of this device, alive or
  /// freed. download and synchronize do so too, as those of a GPU throw what its kernels did.
  void check_guards() const;

  std::string describe() const override { return "CUDA, simulated on the host"; }
  bool fast_bf16() const override { return false; }
  std::shared_ptr<std::byte> allocate(size_t bytes) override;
  core::MemoryUse memory() const override;
  /// Little, so that small tensors are cut as large ones are.
  int64_t cache_bytes() const override { return 64 << 10; }
  int64_t capacity() const override { return int64_t{1} << 30; }
  bool on_host() const override { return false; }
  core::Kernels& kernels() override { return *kernels_; }
  void upload(void const* host, core::Tensor& tensor) override;
  void download(core::Tensor const& tensor, void* host) override;
  void copy(core::Tensor const& from, core::Tensor& to) override;
  void synchronize() override { check_guards(); }
  std::unique_ptr<core::InputStage> input_stage() override;
  bool can_capture() const override { return false; }
  std::unique_ptr<core::Graph> capture(std::function<void()> const&) override {
    core::fail("a simulated GPU runs work at once; there is nothing to record");
  }

 private:
  struct Memory;
  std::shared_ptr<Memory> memory_;  // outlives tensors that outlive the device
  std::unique_ptr<core::Kernels> kernels_;
};

}  // namespace tests
