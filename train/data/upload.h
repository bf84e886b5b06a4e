#pragma once
#include "core/tensor.h"

namespace train {

/// A host tensor on the device; itself where it is there already.
core::Tensor on(core::Device& device, core::Tensor const& host);

/// A batch's images on the device, rounded to the model's dtype.
core::Tensor images_on(core::Device& device, core::Tensor const& images, core::Dtype dtype);

}  // namespace train
