#pragma once
#include <array>
#include <optional>
#include "core/cuda/device.h"

namespace core::cuda {

/// Double buffering: while queued work reads one tensor, the copy into the other runs on a separate
/// stream. The host waits only if it is two copies ahead.
class CudaInputStage final : public InputStage {
 public:
  explicit CudaInputStage(Cuda& device);
  ~CudaInputStage() override;
  Tensor next(void const* host, Shape const& shape, Dtype dtype) override;

 private:
  struct Slot {
    std::optional<Pinned> staging;
    Tensor tensor;
    Event copied = make_event();  ///< end of the copy that filled the tensor
    Event read = make_event();    ///< end of all work queued while the slot was the newest
  };
  void fit(Slot& slot, Shape const& shape, Dtype dtype) const;

  Cuda& device_;
  Stream copies_ = make_stream();
  std::array<Slot, 2> slots_;
  size_t newest_ = 0;
};

}  // namespace core::cuda
