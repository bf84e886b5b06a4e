#include "core/cuda/staging.h"
#include <cstring>

namespace core::cuda {
namespace {

/// Limit of the total size of buffers. Beyond it, copy() waits for a buffer instead of allocating
/// another.
constexpr size_t most_bytes = size_t{256} << 20;
/// Minimum size of a buffer; a buffer serves all requests up to its size, so few sizes keep their
/// number small.
constexpr size_t least_bytes = size_t{64} << 10;

std::byte* page_locked(size_t bytes) {
  void* memory = nullptr;
  check(cudaMallocHost(&memory, bytes));
  return static_cast<std::byte*>(memory);
}

}  // namespace

Pinned::Pinned(size_t bytes) : bytes_(page_locked(bytes)), size_(bytes) {}

void Pinned::Free::operator()(std::byte* bytes) const noexcept {
  ignore(cudaFreeHost(bytes), "cudaFreeHost");
}

void Staging::copy(void const* host, size_t bytes, std::byte* device, cudaStream_t stream) {
  Block const& block = take(bytes);
  std::memcpy(block.memory.data(), host, bytes);
  check(cudaMemcpyAsync(device, block.memory.data(), bytes, cudaMemcpyHostToDevice, stream));
  check(cudaEventRecord(block.copied.get(), stream));
}

/// Returns a block that is large enough and whose last copy is complete; allocates a new one up to
/// the limit.
Staging::Block& Staging::take(size_t bytes) {
  size_t held = 0;
  Block* oldest = nullptr;
  for (Block& block : blocks_) {
    held += block.memory.size();
    if (block.memory.size() < bytes) continue;
    if (reached(block.copied.get())) return block;
    if (oldest == nullptr) oldest = &block;
  }
  if (oldest == nullptr || held + bytes <= most_bytes)
    return blocks_.emplace_back(Pinned(std::max(bytes, least_bytes)), make_event());
  check(cudaEventSynchronize(oldest->copied.get()));
  return *oldest;
}

}  // namespace core::cuda
