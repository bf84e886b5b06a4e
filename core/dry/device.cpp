#include "core/dry/device.h"
#include <algorithm>
#include <cstring>
#include "core/cpu/copies.h"
#include "core/dry/kernels.h"

namespace core::dry {

struct Dry::Books {
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
      at_peak = parts;
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
    auto& most = at_most[to];
    most = std::max(most, now);
  }

  /// The block that a tensor, or the one it is a view of, lies in.
  Block& block_of(Tensor const& tensor) {
    auto const address = reinterpret_cast<uintptr_t>(tensor.raw());
    return std::prev(blocks.upper_bound(address))->second;
  }

  uintptr_t next = uintptr_t{1} << 12;
  std::map<uintptr_t, Block> blocks;
  std::string part = "other";
  Parts parts, at_peak, at_most;
  MemoryUse use;
};

Dry::Dry(Traits traits)
    : traits_(std::move(traits)),
      books_(std::make_shared<Books>()),
      kernels_(std::make_unique<DryKernels>(*this)) {}

Dry::~Dry() = default;

void Dry::enter(std::string part) { books_->part = std::move(part); }

void Dry::assign(Tensor const& tensor, std::string const& part) {
  auto& block = books_->block_of(tensor);
  books_->move(block.part, -block.bytes);
  books_->move(part, block.bytes);
  block.part = part;
}

Parts const& Dry::at_peak() const { return books_->at_peak; }

Parts const& Dry::at_most() const { return books_->at_most; }

void Dry::begin_again() {
  work_.clear();
  books_->at_most = books_->parts;
}

MemoryUse Dry::memory() const { return books_->use; }

void Dry::add_work(double flops, std::initializer_list<Tensor const*> tensors) {
  Work work{flops, 0};
  for (auto const* t : tensors)
    if (*t && t->count() > 0 && books_->parts[books_->block_of(*t).part] > 2 * traits_.cache_bytes)
      work.bytes += static_cast<double>(t->bytes());
  if (work != Work{}) ++work_[work];
}

std::shared_ptr<std::byte> Dry::allocate(size_t bytes) {
  auto const address = books_->open(bytes);
  return {reinterpret_cast<std::byte*>(address),
          [books = books_, address](std::byte*) { books->close(address); }};
}

void Dry::upload(void const*, Tensor&) {}

void Dry::download(Tensor const& tensor, void* host) { std::memset(host, 0, tensor.bytes()); }

std::unique_ptr<Feed> Dry::feed() { return std::make_unique<cpu::Copies>(*this); }

std::unique_ptr<Recording> Dry::record(std::function<void()> const&) {
  fail("a dry run has nothing to record");
}

}  // namespace core::dry
