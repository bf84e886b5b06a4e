#include "tests/support/device.h"
#include "core/cpu/device.h"

namespace tests {
namespace {

Devices const* current = nullptr;

}  // namespace

Devices::Devices(std::string const& name, int local_rank)
    : host_(std::make_unique<core::cpu::Cpu>()), device_(make_device(name, local_rank)) {
  current = this;
}

Devices::~Devices() { current = nullptr; }

core::Device& device() { return *current->device_; }

core::Device& host() { return *current->host_; }

}  // namespace tests
