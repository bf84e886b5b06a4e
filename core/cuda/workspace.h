#pragma once
#include "core/device.h"

namespace core::cuda {

/// Workspace of a library call, aligned to 256 bytes like memory from cudaMalloc; tensors guarantee
/// only 64. Work already queued on the compute stream may still use it after its destruction.
class Workspace {
 public:
  /// No bytes: allocates nothing.
  Workspace(Device& device, int64_t bytes) {
    if (bytes > 0) memory_ = Tensor(device, {bytes + alignment - 1}, Dtype::u8);
  }

  /// Null if there are no bytes.
  void* data() {
    if (!memory_) return nullptr;
    auto const past = reinterpret_cast<uintptr_t>(memory_.raw()) % alignment;
    return memory_.raw() + (past == 0 ? 0 : alignment - past);
  }

 private:
  static constexpr int64_t alignment = 256;

  Tensor memory_;
};

}  // namespace core::cuda
