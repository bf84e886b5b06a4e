// Devices of test programs that run on the stand-in for CUDA.
#include "core/cpu/device.h"
#include "core/cuda/open.h"
#include "tests/support/device.h"
#include "tests/support/fake_cuda/fake_cuda.h"

/// "cuda" and "cuda:ORDER[:SEED[:BYTES]]".
std::unique_ptr<core::Device> tests::make_device(std::string const& name, int /*local_rank*/) {
  if (name == "cpu") return std::make_unique<core::cpu::Cpu>();
  core::check(name.starts_with("cuda"), "--device ", name,
              ": unknown device; this program has cpu and cuda[:ORDER[:SEED[:BYTES]]]");
  if (name.starts_with("cuda:")) fake_cuda::set(fake_cuda::parse(name.substr(5)));
  return core::cuda::open(0, {});
}
