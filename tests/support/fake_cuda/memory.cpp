#include "tests/support/fake_cuda/memory.h"
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <set>
#include "core/check.h"
#include "tests/support/fake_cuda/streams.h"
#include "tests/support/host_cuda/sanitizers.h"
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes)
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes)
#endif

namespace tests::fake_cuda {
namespace {

/// Guard bytes on each side. Memory is aligned to 256 bytes and no more, as that of a pool may be.
constexpr size_t guard = 256;
constexpr int unwritten = 0xFF, guarding = 0xA5;

struct Block {
  size_t bytes;
  size_t open = 0;            ///< bytes that may be accessed now
  bool graph = false;         ///< belongs to a graph, not to the pool
  bool taken = true;          ///< pool: allocated, in the order of the calls
  OperationPtr freed;         ///< pool: the free, if not taken
  CUstream_st* on = nullptr;  ///< stream of the free
};

struct Gpu {
  std::map<std::byte*, Block> blocks;
  std::set<GraphMemory*> graphs;
  struct Pages {
    size_t bytes;
    int uses = 0;
  };
  std::map<std::byte*, Pages> pages;
};

Gpu& gpu() {
  static auto* const gpu = new Gpu;
  return *gpu;
}

/// The element of `map` whose range begins at or before the address; end() if there is none.
template <class Map>
auto before(Map& map, void const* address) {
  auto const next = map.upper_bound(static_cast<std::byte*>(const_cast<void*>(address)));
  return next == map.begin() ? map.end() : std::prev(next);
}

std::byte* create(size_t bytes, bool graph) {
  size_t const whole = (bytes + 3 * guard + 511) / 512 * 512;
  auto* const data = static_cast<std::byte*>(std::aligned_alloc(512, whole)) + guard;
  std::memset(data - guard, guarding, guard);
  std::memset(data, unwritten, bytes);
  std::memset(data + bytes, guarding, guard);
  ASAN_POISON_MEMORY_REGION(data - guard, bytes + 2 * guard);
  auto& block = gpu().blocks[data];
  block.bytes = bytes;
  block.graph = graph;
  return data;
}

void destroy(std::byte* data) {
  [[maybe_unused]] size_t const whole = gpu().blocks.at(data).bytes + 2 * guard;
  gpu().blocks.erase(data);
  ASAN_UNPOISON_MEMORY_REGION(data - guard, whole);
  std::free(data - guard);
}

void check_guards(std::byte const* data, size_t bytes) {
  if (host_cuda::address_sanitizer) return;
  auto const intact = [](std::byte const* from) {
    return std::all_of(from, from + guard, [](std::byte b) { return b == std::byte{guarding}; });
  };
  if (!intact(data - guard)) misuse("a write before the memory of a tensor");
  if (!intact(data + bytes)) misuse("a write past the memory of a tensor");
}

/// Memory of the pool that an allocation on `stream` may have: freed on the same stream, or its
/// free has run.
std::byte* reusable(size_t bytes, CUstream_st const* stream) {
  for (auto& [data, block] : gpu().blocks)
    if (!block.graph && !block.taken && block.bytes == bytes &&
        (block.on == stream || block.freed->done))
      return data;
  return nullptr;
}

}  // namespace

GraphMemory::GraphMemory() {
  std::scoped_lock const lock(mutex());
  gpu().graphs.insert(this);
}

GraphMemory::~GraphMemory() {
  std::scoped_lock const lock(mutex());
  gpu().graphs.erase(this);
  for (auto const& [data, block] : blocks_) {
    check_guards(data, block.bytes);
    destroy(data);
  }
}

void* GraphMemory::allocate(size_t bytes, std::function<bool(int)> const& reusable) {
  for (auto& [data, block] : blocks_)
    if (block.bytes == bytes && block.freed_by >= 0 && reusable(block.freed_by)) {
      block.freed_by = -1;
      return data;
    }
  auto* const data = create(bytes, true);
  blocks_[data] = {bytes};
  return data;
}

size_t GraphMemory::free(void const* memory, int node) {
  auto const found = blocks_.find(static_cast<std::byte*>(const_cast<void*>(memory)));
  if (found == blocks_.end() || found->second.freed_by >= 0) return 0;
  found->second.freed_by = node;
  return found->second.bytes;
}

bool GraphMemory::has(void const* address) const {
  auto const found = before(blocks_, address);
  return found != blocks_.end() && address < found->first + found->second.bytes;
}

bool GraphMemory::free_leaks() {
  bool found = false;
  for (auto const& item : blocks_) {
    if (gpu().blocks.at(item.first).open == 0) continue;
    close(item.first);
    found = true;
  }
  return !found;
}

size_t GraphMemory::bytes() const {
  size_t sum = 0;
  for (auto const& item : blocks_) sum += item.second.bytes;
  return sum;
}

bool GraphMemory::map() {
  if (!mapped_ && pool_bytes() + graph_bytes() + bytes() > settings().memory) return false;
  mapped_ = true;
  ++replays_;
  return true;
}

void trim_graphs() {
  for (auto* const graph : gpu().graphs)
    if (graph->replays_ == 0) graph->mapped_ = false;
}

size_t graph_bytes() {
  size_t sum = 0;
  for (auto const* graph : gpu().graphs)
    if (graph->mapped_) sum += graph->bytes();
  return sum;
}

size_t pool_bytes() {
  size_t sum = 0;
  for (auto const& item : gpu().blocks)
    if (!item.second.graph) sum += item.second.bytes;
  return sum;
}

void* pool_allocate(size_t bytes, CUstream_st* stream) {
  auto* data = reusable(bytes, stream);
  if (data == nullptr) {
    if (pool_bytes() + graph_bytes() + bytes > settings().memory) return nullptr;
    data = create(bytes, false);
  }
  gpu().blocks[data].taken = true;
  gpu().blocks[data].freed = nullptr;
  enqueue(stream, "allocation", [data, bytes] {
    open(data, bytes);
    return true;
  });
  return data;
}

bool pool_free(void* memory, CUstream_st* stream) {
  auto const found = gpu().blocks.find(static_cast<std::byte*>(memory));
  if (found == gpu().blocks.end() || found->second.graph || !found->second.taken) return false;
  found->second.taken = false;
  enqueue(stream, "free", [memory] {
    close(memory);
    return true;
  });
  found->second.freed = stream->end.operations.back();
  found->second.on = stream;
  return true;
}

void pool_trim() {
  std::vector<std::byte*> unused;
  for (auto const& [data, block] : gpu().blocks)
    if (!block.graph && !block.taken && block.freed->done) unused.push_back(data);
  for (auto* const data : unused) destroy(data);
}

void forget_stream(CUstream_st const* stream) {
  for (auto& item : gpu().blocks)
    if (item.second.on == stream) item.second.on = nullptr;
}

void open(void* memory, size_t bytes) {
  gpu().blocks.at(static_cast<std::byte*>(memory)).open = bytes;
  ASAN_UNPOISON_MEMORY_REGION(memory, bytes);
  std::memset(memory, unwritten, bytes);
}

void close(void* memory) {
  auto& block = gpu().blocks.at(static_cast<std::byte*>(memory));
  check_guards(static_cast<std::byte*>(memory), block.bytes);
  block.open = 0;
  std::memset(memory, unwritten, block.bytes);
  ASAN_POISON_MEMORY_REGION(memory, block.bytes);
}

bool on_gpu(void const* data, size_t bytes) {
  std::scoped_lock const lock(mutex());
  auto const found = before(gpu().blocks, data);
  return found != gpu().blocks.end() &&
         static_cast<std::byte const*>(data) + bytes <= found->first + found->second.open;
}

void* lock_pages(size_t bytes) {
  auto* const memory = static_cast<std::byte*>(std::malloc(bytes));
  if (memory != nullptr) gpu().pages[memory] = {bytes};
  return memory;
}

void unlock_pages(void* memory) {
  auto const found = gpu().pages.find(static_cast<std::byte*>(memory));
  if (found->second.uses > 0)
    misuse("page-locked memory is freed before a queued copy has used it");
  std::memset(memory, unwritten, found->second.bytes);
  std::free(memory);
  gpu().pages.erase(found);
}

bool locked(void const* memory) {
  auto const found = before(gpu().pages, memory);
  return found != gpu().pages.end() && memory < found->first + found->second.bytes;
}

void begin_use(void const* memory) { ++before(gpu().pages, memory)->second.uses; }

void end_use(void const* memory) {
  auto const found = before(gpu().pages, memory);
  if (found != gpu().pages.end()) --found->second.uses;
}

}  // namespace tests::fake_cuda
