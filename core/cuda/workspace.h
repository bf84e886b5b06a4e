#pragma once
#include "core/device.h"

namespace core::cuda {

/// Memory for a call of a library, aligned to 256 bytes as such memory from cudaMalloc is; tensors
/// promise 64. What is queued on the compute stream may use it after it is gone.
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
