#pragma once
#include <vector>
#include "core/cuda/handle.h"

namespace core::cuda {

/// Page-locked (pinned) host memory: the GPU reads it directly, so a copy from it does not block
/// the host.
class Pinned {
 public:
  explicit Pinned(size_t bytes);

  std::byte* data() const { return bytes_.get(); }
  size_t size() const { return size_; }

 private:
  struct Free {
    void operator()(std::byte* bytes) const noexcept;
  };
  std::unique_ptr<std::byte, Free> bytes_;
  size_t size_;
};

/// Pinned buffers that hold data until its asynchronous copy to the GPU has run, so that the caller
/// can reuse its memory at once.
class Staging {
 public:
  /// Queues a copy of `host` to `device` memory on the stream; `host` may be reused on return.
  void copy(void const* host, size_t bytes, std::byte* device, cudaStream_t stream);

 private:
  struct Block {
    Pinned memory;
    Event copied;
  };
  Block& take(size_t bytes);

  std::vector<Block> blocks_;
};

}  // namespace core::cuda
