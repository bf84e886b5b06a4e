#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include "core/device.h"

/// The way to GPUs for code that is built with and without CUDA.
namespace core::cuda {

/// Choices that trade exactness or repeatability for speed.
struct Options {
  bool tf32 = false;  ///< f32 products and convolutions may round their inputs to TF32
  /// Only algorithms that repeat bit for bit, and the same ones in each run: none is chosen by
  /// time.
  bool deterministic = false;
};

/// Whether this program was built with CUDA.
bool built();

/// GPUs that this process can use. Any failure to find a driver or a device means none.
struct Available {
  int count = 0;
  std::string why_none;  ///< for people: "this program was built without CUDA", the driver's words
};
Available available();

/// Tells GPUs apart, on whatever hosts they are.
using Uuid = std::array<uint8_t, 16>;
Uuid uuid(int index);

/// GPU number `index` of this host. Throws Error where there is none, with the reason.
std::unique_ptr<Device> open(int index, Options const& options);

}  // namespace core::cuda
