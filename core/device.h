#pragma once
#include <functional>
#include <memory>
#include <string>
#include "core/tensor.h"

namespace core {

class Kernels;

/// Asynchronous host-to-device copies, one tensor at a time: the copy of one tensor overlaps the
/// work on the previous one.
class InputStage {
 public:
  InputStage() = default;
  virtual ~InputStage() = default;
  InputStage(InputStage const&) = delete;
  InputStage& operator=(InputStage const&) = delete;

  /// Returns a device tensor with the data of `host`, for work that is queued before the next call
  /// of next(). `host` holds the bytes of a dense tensor of this shape and dtype, and may be reused
  /// when the call returns.
  virtual Tensor next(void const* host, Shape const& shape, Dtype dtype) = 0;
};

/// Recorded device work that can be queued again without running the host code that recorded it (a
/// CUDA graph).
class Graph {
 public:
  Graph() = default;
  virtual ~Graph() = default;
  Graph(Graph const&) = delete;
  Graph& operator=(Graph const&) = delete;

  /// Queues the recorded work again, on the tensors it was recorded with.
  /// Throws: OutOfMemory if the device has not enough memory for the graph.
  virtual void replay() = 0;
};

/// Bytes allocated by a device.
struct MemoryUse {
  size_t now = 0;   ///< bytes in live tensors, and bytes that captured graphs reserve
  size_t peak = 0;  ///< largest value of `now` so far
};

/// One processor with its memory: the CPU, or one GPU. A process drives one device.
///
/// Work is queued on the device's compute stream and runs in order. Only `download` and
/// `synchronize` wait for it. On the CPU every call is synchronous.
class Device {
 public:
  Device() = default;
  virtual ~Device() = default;
  Device(Device const&) = delete;
  Device& operator=(Device const&) = delete;

  /// Human-readable description: "CPU, 2 threads, AVX-512, AMX bf16".
  virtual std::string describe() const = 0;

  /// True if bf16 products are faster than f32 ones (tensor cores, AMX, AVX512-BF16); `precision:
  /// auto` then selects bf16.
  virtual bool fast_bf16() const = 0;

  /// Returns `bytes` bytes of device memory, aligned to 64 bytes. Freed blocks are cached and
  /// reused for allocations of the same size.
  /// Throws: OutOfMemory if the device has not enough memory.
  virtual std::shared_ptr<std::byte> allocate(size_t bytes) = 0;
  virtual MemoryUse memory() const = 0;

  /// Bytes of the fastest memory that holds one kernel's output until the next kernel reads it: one
  /// core's share of the CPU cache, or the L2 cache of a GPU. On the CPU, work on large tensors is
  /// split into pieces of this size.
  virtual int64_t cache_bytes() const = 0;

  /// Total memory in bytes.
  virtual int64_t capacity() const = 0;

  /// Memory in bytes that is not in use, by this or any other process; 0: unknown.
  virtual int64_t free_memory() const = 0;

  /// True where the memory is the host's: the processes of a host share its capacity.
  virtual bool on_host() const = 0;

  virtual Kernels& kernels() = 0;

  /// Copies host memory to the device. `host` holds tensor.bytes() bytes and may be reused when the
  /// call returns.
  virtual void upload(void const* host, Tensor& tensor) = 0;
  /// Copies device memory to the host after all queued work; blocks until it is done. `host` has
  /// room for tensor.bytes() bytes.
  virtual void download(Tensor const& tensor, void* host) = 0;
  /// Copies `from` to `to`, byte for byte. Both have the same dtype and count and are on this
  /// device.
  virtual void copy(Tensor const& from, Tensor& to) = 0;
  /// Blocks until all queued work is done.
  virtual void synchronize() = 0;

  virtual std::unique_ptr<InputStage> input_stage() = 0;

  virtual bool can_capture() const = 0;
  /// Runs `work` and measures the memory of its tensors, which a capture of the same work then
  /// reserves as one block.
  virtual void rehearse(std::function<void()> const& work) { work(); }
  /// Records the kernels that `work` queues, without running them. `work` must have run before with
  /// the same shapes, the last time in `rehearse`. It must not download or upload, and must write
  /// its results to tensors allocated before the call; its own tensors must not outlive it. The
  /// device must outlive the graph.
  /// Throws: Error if the device cannot record; OutOfMemory if it has not enough memory.
  virtual std::unique_ptr<Graph> capture(std::function<void()> const& work) = 0;
};

/// Device memory is exhausted.
struct OutOfMemory : Error {
  using Error::Error;
};

/// Returns a tensor (1), f64, with this value.
inline Tensor scalar(Device& device, double value) {
  Tensor t(device, {1}, Dtype::f64);
  device.upload(&value, t);
  return t;
}

/// Returns a copy of the tensor in new storage.
inline Tensor clone(Tensor const& tensor) {
  Tensor copy = empty_like(tensor);
  tensor.device().copy(tensor, copy);
  return copy;
}

}  // namespace core
