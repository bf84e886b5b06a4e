#pragma once
#include <cstddef>
#include <map>
#include "tests/support/fake_cuda/fake_cuda.h"

/// The GPU's memory, and page-locked memory of the host. All calls require mutex() (streams.h).
///
/// GPU memory is host memory between guard bytes. It holds 0xFF bytes (NaN in every float) from its
/// allocation until it is written and from when its free runs; under AddressSanitizer it can then
/// not be accessed. Freed memory is handed out again at once where the order of the stream allows.
namespace tests::fake_cuda {

/// Memory of the allocation nodes of a graph. Its addresses are fixed; its bytes count as used
/// from the first replay until they are trimmed.
class GraphMemory {
 public:
  GraphMemory();
  ~GraphMemory();
  GraphMemory(GraphMemory const&) = delete;
  GraphMemory& operator=(GraphMemory const&) = delete;

  /// Adds memory: an address of its own, or that of freed memory for which `reusable` is true (node
  /// that freed it).
  void* allocate(size_t bytes, std::function<bool(int)> const& reusable);
  /// Returns the size; 0 if this graph has not allocated `memory` or has freed it.
  size_t free(void const* memory, int node);
  bool has(void const* address) const;
  /// Frees what the previous replay has left allocated. Returns false if there is any.
  bool free_leaks();

  /// Takes the bytes from the GPU for a replay. Returns false if it has too few.
  bool map();
  void end_replay() { --replays_; }

 private:
  friend size_t graph_bytes();
  friend void trim_graphs();
  struct Block {
    size_t bytes;
    int freed_by = -1;
  };
  size_t bytes() const;
  std::map<std::byte*, Block> blocks_;
  bool mapped_ = false;
  int replays_ = 0;  ///< queued or running replays
};

/// Allocates in the order of the stream from the GPU's pool. Returns null if the GPU has too little
/// memory.
void* pool_allocate(size_t bytes, CUstream_st* stream);
/// Returns false if `memory` is not allocated from the pool.
bool pool_free(void* memory, CUstream_st* stream);
/// Returns memory of the pool that is freed, and whose free has run, to the GPU.
void pool_trim();
/// The stream is destroyed: a later one at its address is another stream.
void forget_stream(CUstream_st const* stream);
size_t pool_bytes();   ///< taken from the GPU
size_t graph_bytes();  ///< taken from the GPU by all graphs
/// Returns the memory of graphs that do not run to the GPU.
void trim_graphs();

/// The turn of an allocation or free of `bytes` has come: [memory, memory + bytes) may be accessed,
/// or no longer.
void open(void* memory, size_t bytes);
void close(void* memory);

void* lock_pages(size_t bytes);
void unlock_pages(void* memory);
/// Whether the address is page-locked.
bool locked(void const* memory);
/// A copy that is queued reads or writes page-locked memory until `end_use`.
void begin_use(void const* memory);
void end_use(void const* memory);

}  // namespace tests::fake_cuda
