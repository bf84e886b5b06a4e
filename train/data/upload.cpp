#include "train/data/upload.h"
#include "core/device.h"
#include "core/kernels.h"

namespace train {

core::Tensor on(core::Device& device, core::Tensor const& host) {
  if (&host.device() == &device) return host;
  core::Tensor there(device, host.shape(), host.dtype());
  device.upload(host.raw(), there);
  return there;
}

core::Tensor images_on(core::Device& device, core::Tensor const& images, core::Dtype dtype) {
  auto const there = on(device, images);
  if (there.dtype() == dtype) return there;
  core::Tensor rounded(device, there.shape(), dtype);
  device.kernels().convert(there, rounded);
  return rounded;
}

}  // namespace train
