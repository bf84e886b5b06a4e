#pragma once
#include <functional>
#include <vector>
#include "core/device.h"
#include "core/kernels.h"

namespace tests {

/// Wraps a device, counts the calls of a step, and captures work as a CUDA graph does. During
/// capture, kernels and copies are recorded and not run; a replay runs them, but none of the host
/// code around them.
class RecordingDevice final : public core::Device {
 public:
  explicit RecordingDevice(core::Device& inner);
  ~RecordingDevice() override;

  int64_t allocations = 0;  ///< Number since construction.
  int64_t waits = 0;        ///< Calls that block the host until queued work is done.
  int64_t recordings = 0;
  int64_t replays = 0;

  std::string describe() const override { return "recording " + inner_.describe(); }
  bool fast_bf16() const override { return inner_.fast_bf16(); }
  std::shared_ptr<std::byte> allocate(size_t bytes) override;
  core::MemoryUse memory() const override { return inner_.memory(); }
  int64_t cache_bytes() const override { return inner_.cache_bytes(); }
  int64_t capacity() const override { return inner_.capacity(); }
  int64_t free_memory() const override { return inner_.free_memory(); }
  bool on_host() const override { return inner_.on_host(); }
  core::Kernels& kernels() override;
  void upload(void const* host, core::Tensor& tensor) override;
  void download(core::Tensor const& tensor, void* host) override;
  void copy(core::Tensor const& from, core::Tensor& to) override;
  void synchronize() override;
  std::unique_ptr<core::InputStage> input_stage() override;
  bool can_capture() const override { return true; }
  std::unique_ptr<core::Graph> capture(std::function<void()> const& work) override;

 private:
  using Work = std::function<void()>;
  class RecordingKernels;
  class WorkList;
  class Uploads;
  void queue(Work work);
  /// Throws: Error if work is being captured, when the host must not make the call `what`.
  void outside_recordings(char const* what) const;

  core::Device& inner_;
  std::unique_ptr<RecordingKernels> kernels_;
  std::vector<Work>* recorded_ = nullptr;  ///< Set during capture.
};

}  // namespace tests
