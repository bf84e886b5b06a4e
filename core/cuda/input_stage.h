#pragma once
#include <array>
#include <optional>
#include "core/cuda/device.h"

namespace core::cuda {

/// Two tensors in turn: while queued work reads the one, the copy into the other runs on a stream
/// of its own. The host waits only where it is two copies ahead.
class CudaInputStage final : public InputStage {
 public:
  explicit CudaInputStage(Cuda& device);
  ~CudaInputStage() override;
  Tensor next(void const* host, Shape const& shape, Dtype dtype) override;

 private:
  struct Slot {
    std::optional<Pinned> staging;
    Tensor tensor;
    Event copied = make_event();  ///< the copy that filled it
    Event read = make_event();    ///< all work that was queued while it was the newest
  };
  void fit(Slot& slot, Shape const& shape, Dtype dtype) const;

  Cuda& device_;
  Stream copies_ = make_stream();
  std::array<Slot, 2> slots_;
  size_t newest_ = 0;
};

}  // namespace core::cuda
