#include "core/cuda/open.h"
#include <cstring>
#include "core/cuda/device.h"

namespace core::cuda {

bool built() { return true; }

Available available() {
  int count = 0;
  auto const status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count > 0) return {count, ""};
  cudaGetLastError();
  return {0, status == cudaSuccess ? "no GPU found" : cudaGetErrorString(status)};
}

Uuid uuid(int index) {
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, index));
  Uuid id;
  std::memcpy(id.data(), properties.uuid.bytes, id.size());
  return id;
}

std::unique_ptr<Device> open(int index, Options const& options) {
  auto const found = available();
  check(index >= 0 && index < found.count, "GPU ", index, " does not exist: ",
        found.count == 0 ? found.why_none
                         : join("number of GPUs visible to this process: ", found.count));
  return std::make_unique<Cuda>(index, options);
}

}  // namespace core::cuda
