#include "core/cuda/memory.h"
#include <algorithm>
#include <limits>
#include <utility>

namespace core::cuda {
namespace {

cudaMemPool_t default_pool(int index) {
  cudaMemPool_t pool = nullptr;
  check(cudaDeviceGetDefaultMemPool(&pool, index));
  return pool;
}

}  // namespace

/// Memory of the graph that is being captured. All tensors are placed in one memory node: a node
/// for each would make a graph of thousands of them, which takes long to launch.
struct Memory::Capture {
  explicit Capture(size_t bytes) : arena(bytes) {}
  Arena arena;
  std::byte* base = nullptr;  ///< null if the arena is empty
  size_t nodes = 0;           ///< live tensors without a place in the arena, each in its own node
  bool over = false;
};

Memory::Memory(int index) : index_(index), stream_(make_stream()), pool_(default_pool(index)) {
  // Keep freed memory for later tensors instead of releasing it at each synchronization.
  uint64_t keep = UINT64_MAX;
  check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep));
}

MemoryUse Memory::use() const {
  std::scoped_lock const lock(mutex_);
  return {tensors_ + graphs_, peak_};
}

int64_t Memory::free() const {
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total));
  uint64_t reserved = 0;
  check(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrReservedMemCurrent, &reserved));
  std::scoped_lock const lock(mutex_);
  return static_cast<int64_t>(free + std::max(reserved, uint64_t{tensors_}) - tensors_);
}

std::shared_ptr<std::byte> Memory::allocate(size_t bytes) {
  size_t const size = std::max(bytes, Arena::alignment);
  return capture_ ? allocate_captured(size) : allocate_pooled(size);
}

std::shared_ptr<std::byte> Memory::allocate_pooled(size_t bytes) {
  void* memory = nullptr;
  retry([&] { return cudaMallocFromPoolAsync(&memory, bytes, pool_, stream()); }, bytes);
  {
    std::scoped_lock const lock(mutex_);
    tensors_ += bytes;
    peak_ = std::max(peak_, tensors_ + graphs_);
  }
  auto const place = rehearsal_ ? rehearsal_->take(bytes) : std::nullopt;
  return {static_cast<std::byte*>(memory),
          [owner = shared_from_this(), bytes, rehearsal = rehearsal_, place](std::byte* freed) {
            owner->free_pooled(freed, bytes);
            if (place) rehearsal->give_back(*place);
          }};
}

void Memory::free_pooled(std::byte* memory, size_t bytes) noexcept {
  ignore(cudaFreeAsync(memory, stream()), "cudaFreeAsync");
  std::scoped_lock const lock(mutex_);
  tensors_ -= bytes;
}

std::shared_ptr<std::byte> Memory::allocate_captured(size_t bytes) {
  if (auto const place = capture_->arena.take(bytes))
    return {capture_->base + *place, [capture = capture_, offset = *place](std::byte*) {
              capture->arena.give_back(offset);
            }};
  std::byte* const node = add_node(bytes);
  ++capture_->nodes;
  return {node, [owner = shared_from_this(), capture = capture_](std::byte* freed) {
            if (capture->over) return;  // the graph frees it
            --capture->nodes;
            ignore(cudaFreeAsync(freed, owner->stream()), "cudaFreeAsync");
          }};
}

/// Adds an allocation to the graph that is being captured.
std::byte* Memory::add_node(size_t bytes) {
  void* memory = nullptr;
  auto const status = cudaMallocFromPoolAsync(&memory, bytes, pool_, stream());
  if (status == cudaErrorMemoryAllocation) fail_without_memory(bytes, " for a captured graph");
  check(status);
  return static_cast<std::byte*>(memory);
}

void Memory::rehearse(std::function<void()> const& work) {
  rehearsal_ = std::make_shared<Arena>(std::numeric_limits<size_t>::max() / 2);
  try {
    work();
  } catch (...) {
    rehearsal_.reset();
    throw;
  }
  rehearsed_ = rehearsal_->extent();
  rehearsal_.reset();
}

void Memory::begin_capture() {
  auto const capture = std::make_shared<Capture>(rehearsed_);
  if (rehearsed_ > 0) capture->base = add_node(rehearsed_);
  capture_ = capture;
}

void Memory::end_capture() {
  auto const capture = std::exchange(capture_, nullptr);
  capture->over = true;
  if (capture->base != nullptr) check(cudaFreeAsync(capture->base, stream()));
  size_t const alive = capture->arena.blocks() + capture->nodes;
  core::check(alive == 0, "tensors that were allocated during a capture outlive it: ", alive);
}

void Memory::abandon_capture() noexcept {
  if (capture_) capture_->over = true;
  capture_.reset();
}

GraphExec Memory::instantiate(Graph const& graph) {
  cudaGraphExec_t exec = nullptr;
  retry([&] { return cudaGraphInstantiate(&exec, graph.get(), 0); }, rehearsed_,
        " for a captured graph");
  graphs_measured_ = false;
  return GraphExec(exec);
}

void Memory::launch(GraphExec const& graph) {
  retry([&] { return cudaGraphLaunch(graph.get(), stream()); }, rehearsed_,
        " for a captured graph");
  if (!graphs_measured_) measure_graphs();
}

void Memory::give_back_cached() {
  check(cudaStreamSynchronize(stream()));
  check(cudaMemPoolTrimTo(pool_, 0));
  check(cudaDeviceGraphMemTrim(index_));
  measure_graphs();
  graphs_measured_ = false;  // the next launch reserves memory again
}

template <class Call>
void Memory::retry(Call const& call, size_t bytes, char const* purpose) {
  auto status = call();
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    give_back_cached();
    status = call();
  }
  if (status == cudaErrorMemoryAllocation) fail_without_memory(bytes, purpose);
  check(status);
}

void Memory::measure_graphs() {
  std::scoped_lock const lock(mutex_);
  graphs_ = reserved_by_graphs();
  peak_ = std::max(peak_, tensors_ + graphs_);
  graphs_measured_ = true;
}

size_t Memory::reserved_by_graphs() const noexcept {
  uint64_t bytes = 0;
  ignore(cudaDeviceGetGraphMemAttribute(index_, cudaGraphMemAttrReservedMemCurrent, &bytes),
         "cudaDeviceGetGraphMemAttribute");
  return bytes;
}

void Memory::fail_without_memory(size_t bytes, char const* purpose) const {
  cudaGetLastError();
  size_t free = 0, total = 0;
  ignore(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  throw OutOfMemory(join("out of memory: requested ", bytes, " bytes", purpose, " with ", tensors_,
                         " bytes in use by tensors, ", reserved_by_graphs(),
                         " bytes reserved by captured graphs, and ", free, " of ", total,
                         " bytes free on the GPU"));
}

}  // namespace core::cuda
