#include "tests/support/host_cuda/device.h"
#include <algorithm>
#include <cstring>
#include <list>
#include <mutex>
#include "core/cpu/copies.h"
#include "tests/support/host_cuda/guarded.h"

namespace tests {

using host_cuda::GuardedMemory;

struct SimulatedDevice::Memory {
  using Blocks = std::list<GuardedMemory>;
  mutable std::mutex mutex;
  Blocks blocks;
  core::MemoryUse use;
  std::string damage;  ///< Description of the damage around a freed block; empty if none.

  Blocks::iterator take(size_t bytes) {
    std::scoped_lock const lock(mutex);
    auto const block = blocks.emplace(blocks.end(), bytes);
    use.now += bytes;
    use.peak = std::max(use.peak, use.now);
    return block;
  }

  void give_back(Blocks::iterator block) {
    std::scoped_lock const lock(mutex);
    if (damage.empty()) damage = block->damage();
    use.now -= block->size();
    blocks.erase(block);
  }

  /// Damage around any block, alive or freed; empty if none.
  std::string any_damage() const {
    std::scoped_lock const lock(mutex);
    if (!damage.empty()) return damage;
    for (GuardedMemory const& block : blocks)
      if (std::string const found = block.damage(); !found.empty()) return found;
    return "";
  }
};

SimulatedDevice::SimulatedDevice(std::unique_ptr<core::Kernels> kernels)
    : memory_(std::make_shared<Memory>()), kernels_(std::move(kernels)) {}

std::shared_ptr<std::byte> SimulatedDevice::allocate(size_t bytes) {
  auto const block = memory_->take(bytes);
  return {block->data(), [memory = memory_, block](std::byte*) { memory->give_back(block); }};
}

core::MemoryUse SimulatedDevice::memory() const {
  std::scoped_lock const lock(memory_->mutex);
  return memory_->use;
}

void SimulatedDevice::check_guards() const {
  std::string const damage = memory_->any_damage();
  core::check(damage.empty(), "simulated device: a kernel wrote outside a tensor's memory, at ",
              damage);
}

void SimulatedDevice::upload(void const* host, core::Tensor& tensor) {
  std::copy_n(static_cast<std::byte const*>(host), tensor.bytes(), tensor.raw());
}

void SimulatedDevice::download(core::Tensor const& tensor, void* host) {
  check_guards();
  std::copy_n(tensor.raw(), tensor.bytes(), static_cast<std::byte*>(host));
}

void SimulatedDevice::copy(core::Tensor const& from, core::Tensor& to) {
  std::memmove(to.raw(), from.raw(), from.bytes());
}

std::unique_ptr<core::InputStage> SimulatedDevice::input_stage() {
  return std::make_unique<core::cpu::Copies>(*this);
}

}  // namespace tests
