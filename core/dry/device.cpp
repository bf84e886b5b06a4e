#include "core/dry/device.h"
#include <algorithm>
#include <cstring>
#include "core/cpu/copies.h"
#include "core/dry/kernels.h"

namespace core::dry {

struct DryRunDevice::Books {
  struct Block {
    int64_t bytes;
    std::string part;
  };

  uintptr_t open(size_t bytes) {
    constexpr size_t line = 64;
    size_t const size = std::max(line, (bytes + line - 1) / line * line);
    auto const address = next;
    next += size;
    blocks[address] = {static_cast<int64_t>(size), part};
    move(part, static_cast<int64_t>(size));
    use.now += size;
    if (use.now > use.peak) {
      use.peak = use.now;
      parts_at_peak = parts;
    }
    return address;
  }

  void close(uintptr_t address) {
    auto const block = blocks.find(address);
    move(block->second.part, -block->second.bytes);
    use.now -= static_cast<size_t>(block->second.bytes);
    blocks.erase(block);
  }

  void move(std::string const& to, int64_t bytes) {
    auto& now = parts[to];
    now += bytes;
    auto& most = peak_of_parts[to];
    most = std::max(most, now);
  }

  /// Returns the block of the tensor's storage; the tensor may be a view.
  Block& block_of(Tensor const& tensor) {
    auto const address = reinterpret_cast<uintptr_t>(tensor.raw());
    return std::prev(blocks.upper_bound(address))->second;
  }

  uintptr_t next = uintptr_t{1} << 12;
  std::map<uintptr_t, Block> blocks;
  std::string part = "other";
  Parts parts, parts_at_peak, peak_of_parts;
  MemoryUse use;
};

DryRunDevice::DryRunDevice(Traits traits)
    : traits_(std::move(traits)),
      books_(std::make_shared<Books>()),
      kernels_(std::make_unique<DryKernels>(*this)) {}

DryRunDevice::~DryRunDevice() = default;

void DryRunDevice::enter(std::string part) { books_->part = std::move(part); }

void DryRunDevice::assign(Tensor const& tensor, std::string const& part) {
  auto& block = books_->block_of(tensor);
  books_->move(block.part, -block.bytes);
  books_->move(part, block.bytes);
  block.part = part;
}

Parts const& DryRunDevice::parts_at_peak() const { return books_->parts_at_peak; }

Parts const& DryRunDevice::peak_of_parts() const { return books_->peak_of_parts; }

void DryRunDevice::reset() {
  stretches_ = {{.phase = stretches_.back().phase}};
  transfers_.clear();
  books_->peak_of_parts = books_->parts;
}

MemoryUse DryRunDevice::memory() const { return books_->use; }

int64_t DryRunDevice::free_memory() const {
  return std::max(int64_t{0}, traits_.capacity - static_cast<int64_t>(books_->use.now));
}

void DryRunDevice::add_work(Work work, std::initializer_list<Touched> tensors) {
  for (auto const& [t, bytes] : tensors)
    if (t && bytes > 0 && books_->parts[books_->block_of(t).part] > 2 * traits_.cache_bytes)
      work.bytes += bytes;
  ++stretches_.back().work[work];
}

void DryRunDevice::begin_phase(std::string phase) {
  stretches_.push_back({.phase = std::move(phase)});
}

size_t DryRunDevice::start_transfer(Transfer transfer) {
  size_t const index = transfers_.size();
  transfers_.push_back(std::move(transfer));
  stretches_.back().starts = index;
  begin_phase(stretches_.back().phase);
  return index;
}

void DryRunDevice::wait_for_transfer(size_t index) {
  stretches_.back().waits = index;
  begin_phase(stretches_.back().phase);
}

std::shared_ptr<std::byte> DryRunDevice::allocate(size_t bytes) {
  auto const address = books_->open(bytes);
  return {reinterpret_cast<std::byte*>(address),
          [books = books_, address](std::byte*) { books->close(address); }};
}

void DryRunDevice::upload(void const*, Tensor&) {}

void DryRunDevice::download(Tensor const& tensor, void* host) {
  std::memset(host, 0, tensor.bytes());
}

std::unique_ptr<InputStage> DryRunDevice::input_stage() {
  return std::make_unique<cpu::Copies>(*this);
}

std::unique_ptr<Graph> DryRunDevice::capture(std::function<void()> const&) {
  fail("a dry run executes no kernels; there is nothing to record");
}

}  // namespace core::dry
