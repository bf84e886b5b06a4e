#pragma once
#include <memory>
#include <string>
#include "core/device.h"

/// Devices that tests run on. main() creates and owns all of them.
namespace tests {

/// The device under test, selected by `--device`. Its memory is host memory only on the CPU.
core::Device& device();

/// The CPU, for tensors in host memory whatever the device, and for tests of CPU-only features.
core::Device& host();

/// Owns the devices of a run; device() and host() return them during its lifetime.
class Devices {
 public:
  /// `local_rank`: index of this process among those of its host. Throws: Error if `name` is not
  /// one of this program's devices, or if the device cannot be opened.
  Devices(std::string const& name, int local_rank);
  ~Devices();
  Devices(Devices const&) = delete;
  Devices& operator=(Devices const&) = delete;

 private:
  friend core::Device& device();
  friend core::Device& host();
  std::unique_ptr<core::Device> host_, device_;
};

/// This machine has no such device: its tests are compiled but cannot run.
struct NoDevice : core::Error {
  using core::Error::Error;
};

/// Exit code of a program that caught NoDevice: CTest counts its tests as skipped.
inline constexpr int skipped = 77;

/// Creates the device of this name. Each program links one definition, with its own set of devices.
/// Throws: Error, which lists the devices, if the name is unknown; NoDevice.
std::unique_ptr<core::Device> make_device(std::string const& name, int local_rank);

}  // namespace tests
