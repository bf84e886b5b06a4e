#pragma once
#include <memory>
#include <string>
#include "core/tensor.h"

namespace core {

class Kernels;

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

  virtual Kernels& kernels() = 0;

  /// Host to device. `host` holds tensor.bytes() bytes and may be reused when the call returns.
  virtual void upload(void const* host, Tensor& tensor) = 0;
  /// Device to host, after all queued work. `host` has room for tensor.bytes() bytes.
  virtual void download(Tensor const& tensor, void* host) = 0;
  /// to := from, byte for byte. Same dtype and count; both on this device.
  virtual void copy(Tensor const& from, Tensor& to) = 0;
  /// Waits until all queued work is done.
  virtual void synchronize() = 0;
};

/// The device cannot give the memory asked for.
struct OutOfMemory : Error {
  using Error::Error;
};

/// A new tensor with the same contents.
inline Tensor clone(Tensor const& tensor) {
  Tensor copy = empty_like(tensor);
  tensor.device().copy(tensor, copy);
  return copy;
}

}  // namespace core
