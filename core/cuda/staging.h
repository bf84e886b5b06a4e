#pragma once
#include <vector>
#include "core/cuda/handle.h"

namespace core::cuda {

/// Page-locked host memory: the GPU reads it by itself, so a copy from it need not hold up the
/// host.
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

/// Where data waits for its copy to the GPU, so that its owner need not.
class Staging {
 public:
  /// Queues the copy of `host` to `device` memory on the stream; `host` may be reused on return.
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
