#pragma once
#include <functional>
#include <vector>
#include "core/device.h"
#include "core/kernels.h"

namespace tests {

/// A device over another one that counts what a step asks of it, and records work as a CUDA graph
/// does: while it records, kernels and copies are noted and not run; a replay runs them and nothing
/// of the host's code around them.
class RecordingDevice final : public core::Device {
 public:
  explicit RecordingDevice(core::Device& inner);
  ~RecordingDevice() override;

  int64_t allocations = 0;  ///< since the beginning
  int64_t waits = 0;        ///< calls that hold up the host until queued work is done
  int64_t recordings = 0;
  int64_t replays = 0;

  std::string describe() const override { return "recording " + inner_.describe(); }
  bool fast_bf16() const override { return inner_.fast_bf16(); }
  std::shared_ptr<std::byte> allocate(size_t bytes) override;
  core::MemoryUse memory() const override { return inner_.memory(); }
  int64_t cache_bytes() const override { return inner_.cache_bytes(); }
  int64_t capacity() const override { return inner_.capacity(); }
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
  /// The host must not ask for this while work is recorded.
  void outside_recordings(char const* what) const;

  core::Device& inner_;
  std::unique_ptr<RecordingKernels> kernels_;
  std::vector<Work>* recorded_ = nullptr;  ///< while recording
};

}  // namespace tests
