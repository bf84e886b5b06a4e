#pragma once
#include <functional>
#include <mutex>
#include "core/cuda/arena.h"
#include "core/cuda/handle.h"
#include "core/device.h"

namespace core::cuda {

/// Memory of one GPU, and the compute stream on which allocations are ordered. It has two parts,
/// which CUDA caches separately: the runtime's pool, and the memory that captured graphs reserve.
/// Shared with tensors and graphs, which may outlive the device.
class Memory : public std::enable_shared_from_this<Memory> {
 public:
  explicit Memory(int index);

  cudaStream_t stream() const { return stream_.get(); }
  MemoryUse use() const;
  /// Bytes of the GPU that nobody uses, and those that the pool keeps after tensors were freed.
  int64_t free() const;

  /// Allocates from the pool; between begin_capture and end_capture, from the memory of the graph.
  /// Throws: OutOfMemory.
  std::shared_ptr<std::byte> allocate(size_t bytes);

  /// Runs `work` and measures the memory that the graph captured next needs for it.
  void rehearse(std::function<void()> const& work);

  /// Reserves the graph's memory. To be called when the stream has begun to be captured.
  /// Throws: OutOfMemory.
  void begin_capture();
  /// Ends what begin_capture began, before the capture of the stream ends.
  /// Throws: Error if a tensor allocated since then is alive: its memory belongs to the graph.
  void end_capture();
  /// Same as end_capture, after a failure.
  void abandon_capture() noexcept;

  /// Throws: OutOfMemory.
  GraphExec instantiate(Graph const& graph);
  /// Throws: OutOfMemory.
  void launch(GraphExec const& graph);

  /// Releases cached memory of both parts to the GPU, after all queued work is done.
  void give_back_cached();

 private:
  struct Capture;
  std::shared_ptr<std::byte> allocate_pooled(size_t bytes);
  std::shared_ptr<std::byte> allocate_captured(size_t bytes);
  void free_pooled(std::byte* memory, size_t bytes) noexcept;
  std::byte* add_node(size_t bytes);
  /// Calls `call`; if memory is exhausted, once more after give_back_cached().
  template <class Call>
  void retry(Call const& call, size_t bytes, char const* purpose = "");
  /// Reads the bytes that graphs reserve. They change when a graph is instantiated, at its first
  /// launch, and when cached memory is given back.
  void measure_graphs();
  size_t reserved_by_graphs() const noexcept;
  [[noreturn]] void fail_without_memory(size_t bytes, char const* purpose) const;

  int index_;
  Stream stream_;
  cudaMemPool_t pool_;
  mutable std::mutex mutex_;  ///< guards the three counts
  size_t tensors_ = 0, graphs_ = 0, peak_ = 0;
  bool graphs_measured_ = true;
  std::shared_ptr<Arena> rehearsal_;  ///< set during a rehearsal: the places its tensors would have
  size_t rehearsed_ = 0;              ///< bytes that the last rehearsal needed
  std::shared_ptr<Capture> capture_;  ///< set during a capture
};

}  // namespace core::cuda
