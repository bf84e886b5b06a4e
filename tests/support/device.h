#pragma once
#include <memory>
#include <string>
#include "core/device.h"

/// What tests run on. All of it is made and owned by main().
namespace tests {

/// The device under test, which `--device` names. Its memory is the host's only on the CPU.
core::Device& device();

/// The CPU: for tensors that are the host's whatever the device, and tests of what only it has.
core::Device& host();

/// The devices of a run, which device() and host() give while this lives.
class Devices {
 public:
  /// `local_rank`: this process's place among those of its host. Throws Error where `name` is
  /// none of this program's devices, or the device cannot be had.
  Devices(std::string const& name, int local_rank);
  ~Devices();
  Devices(Devices const&) = delete;
  Devices& operator=(Devices const&) = delete;

 private:
  friend core::Device& device();
  friend core::Device& host();
  std::unique_ptr<core::Device> host_, device_;
};

/// This machine has no such device; tests for it were compiled and cannot run.
struct NoDevice : core::Error {
  using core::Error::Error;
};

/// What a program that found NoDevice exits with: CTest counts its tests as skipped.
inline constexpr int skipped = 77;

/// The device of this name. Each program is linked with one definition, which knows what devices
/// it has; other names are an error that lists them. Throws NoDevice.
std::unique_ptr<core::Device> make_device(std::string const& name, int local_rank);

}  // namespace tests
