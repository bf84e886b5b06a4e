#pragma once
#include <functional>
#include <memory>
#include <string>
#include "core/tensor.h"

namespace core {

class Kernels;

/// Host data on its way to a device, a tensor at a time: the copy of one runs beside the work that
/// uses the one before.
class InputStage {
 public:
  InputStage() = default;
  virtual ~InputStage() = default;
  InputStage(InputStage const&) = delete;
  InputStage& operator=(InputStage const&) = delete;

  /// The data on the device, for work that is queued before the next call. `host` holds the bytes
  /// of such a tensor and may be reused when the call returns.
  virtual Tensor next(void const* host, Shape const& shape, Dtype dtype) = 0;
};

/// Work that a device has recorded and can queue again, without the host's going through it.
class Graph {
 public:
  Graph() = default;
  virtual ~Graph() = default;
  Graph(Graph const&) = delete;
  Graph& operator=(Graph const&) = delete;

  /// Queues the work once more, on the tensors it was recorded with.
  virtual void replay() = 0;
};

/// Bytes a device has handed out.
struct MemoryUse {
  size_t now = 0;   ///< in live tensors
  size_t peak = 0;  ///< the most there were at once
};

/// One processor with its memory: the CPU, or one GPU. A process drives one device.
///
/// Work is queued on the device's compute stream and runs in order; nothing here waits for it but
/// `download` and `synchronize`. On the CPU every call is done when it returns.
class Device {
 public:
  Device() = default;
  virtual ~Device() = default;
  Device(Device const&) = delete;
  Device& operator=(Device const&) = delete;

  /// For people: "CPU, 2 threads, AVX-512 with AMX".
  virtual std::string describe() const = 0;

  /// True where bf16 products run on matrix units, so that `precision: auto` picks bf16.
  virtual bool fast_bf16() const = 0;

  /// 64-byte aligned memory of the device; freed memory is kept for the next tensor of its size.
  /// Throws OutOfMemory when there is none.
  virtual std::shared_ptr<std::byte> allocate(size_t bytes) = 0;
  virtual MemoryUse memory() const = 0;

  /// Of the fastest memory that what one kernel leaves can stay in for the next: a core's share of
  /// the cache, or a GPU's L2. Work on large tensors is cut to fit.
  virtual int64_t cache_bytes() const = 0;

  /// Total memory in bytes.
  virtual int64_t capacity() const = 0;

  /// True where the memory is the host's: the processes of a host share its capacity.
  virtual bool on_host() const = 0;

  virtual Kernels& kernels() = 0;

  /// Host to device. `host` holds tensor.bytes() bytes and may be reused when the call returns.
  virtual void upload(void const* host, Tensor& tensor) = 0;
  /// Device to host, after all queued work. `host` has room for tensor.bytes() bytes.
  virtual void download(Tensor const& tensor, void* host) = 0;
  /// to := from, byte for byte. Same dtype and count; both on this device.
  virtual void copy(Tensor const& from, Tensor& to) = 0;
  /// Waits until all queued work is done.
  virtual void synchronize() = 0;

  virtual std::unique_ptr<InputStage> input_stage() = 0;

  virtual bool can_capture() const = 0;
  /// Records what `work` queues, which is not run. `work` has run before with the same shapes,
  /// reads no results back, uploads nothing, and leaves what it computes in tensors made before it.
  /// Throws Error where the device cannot record.
  virtual std::unique_ptr<Graph> capture(std::function<void()> const& work) = 0;
};

/// The device cannot give the memory asked for.
struct OutOfMemory : Error {
  using Error::Error;
};

/// A number on the device: (1), f64.
inline Tensor scalar(Device& device, double value) {
  Tensor t(device, {1}, Dtype::f64);
  device.upload(&value, t);
  return t;
}

/// A new tensor with the same contents.
inline Tensor clone(Tensor const& tensor) {
  Tensor copy = empty_like(tensor);
  tensor.device().copy(tensor, copy);
  return copy;
}

}  // namespace core
