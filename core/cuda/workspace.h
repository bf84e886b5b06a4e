#pragma once
#include "core/device.h"

namespace core::cuda {

/// Workspace of a library call, aligned to 256 bytes like memory from cudaMalloc; tensors guarantee
/// only 64. Work already queued on the compute stream may still use it after its destruction.
class Workspace {
 public:
  Workspace(Device& device, int64_t bytes)
      : memory_(device, {bytes == 0 ? 0 : bytes + alignment - 1}, Dtype::u8) {}

  void* data() {
    auto const past = reinterpret_cast<uintptr_t>(memory_.raw()) % alignment;
    return memory_.raw() + (past == 0 ? 0 : alignment - past);
  }

 private:
  static constexpr int64_t alignment = 256;

  Tensor memory_;
};

}  // namespace core::cuda
