#pragma once
#include "core/device.h"

namespace layers {

/// Memory for tensors that are used one after the other. It is allocated once, for the largest so
/// far, because on a GPU each allocation becomes a node of the captured step.
class Scratch {
 public:
  /// Returns an uninitialized tensor, valid until the next call.
  core::Tensor take(core::Device& device, core::Shape const& shape, core::Dtype dtype) {
    int64_t const count = core::count(shape);
    if (!memory_ || memory_.count() < count || memory_.dtype() != dtype) {
      memory_ = {};
      memory_ = core::Tensor(device, {count}, dtype);
    }
    return memory_.rows(0, count).reshape(shape);
  }

 private:
  core::Tensor memory_;
};

/// Buffers of a chunk: each chunk of a pass overwrites those of the chunk before.
struct ChunkBuffers {
  Scratch products;         ///< Z (B, n)
  Scratch gradient;         ///< G (B, n)
  Scratch weights, norms;   ///< W (n, D), rounded or of unit length; norms of its rows (n)
  Scratch weight_gradient;  ///< dW (n, D)
};

}  // namespace layers
