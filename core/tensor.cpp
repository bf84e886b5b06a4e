#include "core/tensor.h"
#include <algorithm>
#include "core/device.h"

namespace core {

Tensor::Tensor(Device& device, Shape shape, Dtype dtype)
    : device_(&device), shape_(std::move(shape)), count_(core::count(shape_)), dtype_(dtype) {
  check(std::all_of(shape_.begin(), shape_.end(), [](int64_t size) { return size >= 0; }),
        "sizes of a tensor must not be negative; got shape ", shape_);
  storage_ = device.allocate(bytes());
}

int64_t Tensor::size(int axis) const {
  int const rank = static_cast<int>(shape_.size());
  int const at = axis < 0 ? axis + rank : axis;
  check(at >= 0 && at < rank, "axis ", axis, " is out of range for a tensor of shape ", shape_);
  return shape_[static_cast<size_t>(at)];
}

Tensor Tensor::reshape(Shape shape) const {
  check(core::count(shape) == count_, "reshape: element counts differ: ", shape_, " to ", shape);
  Tensor view = *this;
  view.shape_ = std::move(shape);
  return view;
}

Tensor Tensor::rows(int64_t begin, int64_t end) const {
  check(!shape_.empty() && 0 <= begin && begin <= end && end <= shape_[0], "rows [", begin, ", ",
        end, ") are out of range for a tensor of shape ", shape_);
  Tensor view = *this;
  view.shape_[0] = end - begin;
  view.count_ = core::count(view.shape_);
  int64_t const row = shape_[0] == 0 ? 0 : count_ / shape_[0];
  view.offset_ += static_cast<size_t>(begin * row) * size_of(dtype_);
  return view;
}

}  // namespace core
