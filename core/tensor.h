#pragma once
#include <memory>
#include "core/dtype.h"
#include "core/shape.h"

namespace core {

class Device;

/// A dense row-major array on one device, over shared storage: copies and views alias.
///
///   Tensor x(device, {2, 3}, Dtype::f32);            // uninitialized
///   std::vector<float> const host{1, 2, 3, 4, 5, 6};
///   device.upload(host.data(), x);
///   Tensor const last = x.rows(1, 2);                // view of the second row: (1, 3)
///   Tensor const flat = x.reshape({6});              // view: the same storage
///   std::vector<float> row(3);
///   device.download(last, row.data());               // 4, 5, 6
///
/// No strides, broadcasting or lazy evaluation. All work on a tensor is ordered on its device's
/// compute stream. A default-constructed tensor is empty: it converts to false and represents an
/// absent optional tensor.
class Tensor {
 public:
  Tensor() = default;

  /// Allocates a tensor with uninitialized elements.
  /// Throws: Error if a size is negative, OutOfMemory if the device has not enough memory.
  Tensor(Device& device, Shape shape, Dtype dtype);

  explicit operator bool() const { return device_ != nullptr; }
  Device& device() const { return *device_; }
  Shape const& shape() const { return shape_; }
  Dtype dtype() const { return dtype_; }
  int64_t count() const { return count_; }
  size_t bytes() const { return static_cast<size_t>(count_) * size_of(dtype_); }

  /// Size along `axis`; negative axes count from the end.
  /// Throws: Error if the axis is out of range.
  int64_t size(int axis) const;

  /// Returns a view of the same elements with another shape of the same count.
  /// Throws: Error if the counts differ.
  Tensor reshape(Shape shape) const;

  /// Returns a view of rows [begin, end) of the first axis.
  /// Throws: Error if the range is not within the first axis.
  Tensor rows(int64_t begin, int64_t end) const;

  /// True if no other tensor shares the storage, so that it may be overwritten in place.
  bool alone() const { return storage_.use_count() == 1; }

  /// Returns a pointer to the first element. It can be dereferenced on the host only if the device
  /// is the CPU.
  /// Throws: Error if T does not match dtype().
  template <class T>
  T* data() {
    check_type(dtype_of<T>);
    return reinterpret_cast<T*>(raw());
  }
  template <class T>
  T const* data() const {
    check_type(dtype_of<T>);
    return reinterpret_cast<T const*>(raw());
  }
  std::byte* raw() { return storage_.get() + offset_; }
  std::byte const* raw() const { return storage_.get() + offset_; }

 private:
  void check_type(Dtype asked) const {
    check(asked == dtype_, "tensor of ", dtype_, " read as ", asked);
  }

  Device* device_ = nullptr;
  std::shared_ptr<std::byte> storage_;
  size_t offset_ = 0;  // bytes
  Shape shape_;
  int64_t count_ = 0;
  Dtype dtype_ = Dtype::f32;
};

/// Returns an uninitialized tensor with the device, shape and dtype of `like`.
inline Tensor empty_like(Tensor const& like) { return {like.device(), like.shape(), like.dtype()}; }

/// Sizes of a tensor (..., Ch) viewed as a matrix (rows, Ch).
inline int64_t channels(Tensor const& t) { return t.size(-1); }
inline int64_t rows(Tensor const& t) { return t.count() == 0 ? 0 : t.count() / channels(t); }

}  // namespace core
