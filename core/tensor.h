#pragma once
#include <memory>
#include "core/dtype.h"
#include "core/shape.h"

namespace core {

class Device;

/// A dense row-major array on one device, over shared storage: copies and views alias.
///
/// No strides, no broadcasting, no laziness. All work on a tensor is ordered on its device's
/// compute stream. A default-constructed tensor is empty (false) and stands for "none".
class Tensor {
 public:
  Tensor() = default;

  /// Uninitialised. Throws Error when a size is negative or memory is short.
  Tensor(Device& device, Shape shape, Dtype dtype);

  explicit operator bool() const { return device_ != nullptr; }
  Device& device() const { return *device_; }
  Shape const& shape() const { return shape_; }
  Dtype dtype() const { return dtype_; }
  int64_t count() const { return count_; }
  size_t bytes() const { return static_cast<size_t>(count_) * size_of(dtype_); }

  /// Size along `axis`; negative axes count from the end. Throws Error when there is no such axis.
  int64_t size(int axis) const;

  /// The same elements under another shape of the same count.
  Tensor reshape(Shape shape) const;

  /// Rows [begin, end) of the first axis; a view.
  Tensor rows(int64_t begin, int64_t end) const;

  /// True when no other tensor shares the storage, so that it may be written in place.
  bool alone() const { return storage_.use_count() == 1; }

  /// First element. Host memory only where the device's memory is the host's. Throws Error when T
  /// is not the dtype.
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

/// A new tensor of `like`'s device, shape and dtype; uninitialised.
inline Tensor empty_like(Tensor const& like) { return {like.device(), like.shape(), like.dtype()}; }

/// The sizes of a tensor (..., Ch) that is read as (rows, Ch).
inline int64_t channels(Tensor const& t) { return t.size(-1); }
inline int64_t rows(Tensor const& t) { return t.count() == 0 ? 0 : t.count() / channels(t); }

}  // namespace core
