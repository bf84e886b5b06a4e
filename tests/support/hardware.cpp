// Devices of test programs that run on real hardware.
#include "core/cpu/device.h"
#include "core/cuda/open.h"
#include "tests/support/device.h"

std::unique_ptr<core::Device> tests::make_device(std::string const& name, int local_rank) {
  if (name == "cpu") return std::make_unique<core::cpu::Cpu>();
  if (name == "cuda") {
    auto const gpus = core::cuda::available();
    if (gpus.count == 0) throw NoDevice("no GPU: " + gpus.why_none);
    return core::cuda::open(local_rank % gpus.count, {});
  }
  throw core::Error("--device " + name + ": unknown device; this program has cpu and cuda");
}
