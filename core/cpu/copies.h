#pragma once
#include "core/device.h"

namespace core::cpu {

/// Input stage of a synchronous device: copies immediately, because there is no other work to
/// overlap with.
class Copies final : public InputStage {
 public:
  explicit Copies(Device& device) : device_(device) {}
  Tensor next(void const* host, Shape const& shape, Dtype dtype) override {
    Tensor t(device_, shape, dtype);
    device_.upload(host, t);
    return t;
  }

 private:
  Device& device_;
};

}  // namespace core::cpu
