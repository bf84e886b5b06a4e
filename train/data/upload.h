#pragma once
#include "core/tensor.h"

namespace train {

/// Copies a host tensor to the device. Returns the tensor itself if it is already there.
core::Tensor on(core::Device& device, core::Tensor const& host);

/// Copies the images of a batch to the device and rounds them to `dtype`.
core::Tensor images_on(core::Device& device, core::Tensor const& images, core::Dtype dtype);

}  // namespace train
