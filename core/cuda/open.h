#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include "core/device.h"

/// Access to GPUs for code that is compiled with and without CUDA.
namespace core::cuda {

/// Options that trade precision or reproducibility for speed.
struct Options {
  bool tf32 = false;  ///< f32 matrix products and convolutions may round their inputs to TF32
  /// Use only bitwise-reproducible algorithms, and the same ones in each run: none is chosen by
  /// measurement.
  bool deterministic = false;
};

/// Returns true if this program was built with CUDA.
bool built();

/// GPUs that this process can use. The count is 0 if no driver or no device is found, whatever the
/// reason.
struct Available {
  int count = 0;
  std::string why_none;  ///< human-readable reason for a count of 0, such as the driver's message
};
Available available();

/// Identifies a GPU uniquely, across hosts.
using Uuid = std::array<uint8_t, 16>;
/// Throws: Error if there is no such GPU.
Uuid uuid(int index);

/// Opens GPU number `index` of this host.
/// Throws: Error with the reason if there is no such GPU.
std::unique_ptr<Device> open(int index, Options const& options);

}  // namespace core::cuda
