// Devices of test programs that run on a GPU simulated on the host.
#include "core/cpu/device.h"
#include "core/cuda/kernels.h"
#include "tests/support/device.h"
#include "tests/support/host_cuda/device.h"

std::unique_ptr<core::Device> tests::make_device(std::string const& name, int /*local_rank*/) {
  if (name == "cpu") return std::make_unique<core::cpu::Cpu>();
  if (name == "simulated")
    return std::make_unique<SimulatedDevice>(
        std::make_unique<core::cuda::CudaKernels>(nullptr, core::cuda::Options{}));
  throw core::Error("--device " + name + ": unknown device; this program has cpu and simulated");
}
