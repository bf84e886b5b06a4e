#pragma once
#include <array>
#include "core/cpu/kernels.h"
#include "core/cuda/kernels.h"
#include "tests/support/host_cuda/device.h"
#include "tests/support/host_cuda/mutation.h"
#include "tests/support/reference.h"

/// What tests of the CUDA kernels share. Memory of the simulated GPU is the host's, so that the
/// CPU's kernels, which are what they are compared with, take the same tensors.
namespace tests::kernels {

/// A GPU under the simulator, and the CPU's kernels.
struct Gpu {
  SimulatedDevice device{std::make_unique<core::cuda::CudaKernels>(nullptr, core::cuda::Options{})};
  core::Kernels& kernels = device.kernels();
  core::cpu::CpuKernels cpu;
};

/// Odd sizes: around a warp, around a block, more than a tile.
inline constexpr std::array<int64_t, 7> odd_sizes{1, 31, 32, 33, 255, 257, 4097};

/// An uninitialised tensor whose address is a multiple of its element's size alone.
inline core::Tensor unaligned(core::Device& device, core::Shape const& shape, core::Dtype dtype) {
  int64_t const count = core::count(shape);
  return core::Tensor(device, {count + 1}, dtype).rows(1, count + 1).reshape(shape);
}

/// The same numbers at such an address.
inline core::Tensor unaligned(core::Tensor const& t) {
  core::Tensor moved = unaligned(t.device(), t.shape(), t.dtype());
  t.device().copy(t, moved);
  return moved;
}

inline core::Tensor integers(core::Device& device, std::vector<int64_t> const& values) {
  core::Tensor t(device, {static_cast<int64_t>(values.size())}, core::Dtype::i64);
  device.upload(values.data(), t);
  return t;
}

/// Bit for bit, but for the bits of a NaN.
inline bool equal(core::Tensor const& a, core::Tensor const& b) {
  auto const x = values(a), y = values(b);
  return std::ranges::equal(x, y, [](double p, double q) { return p == q || (p != p && q != q); });
}

}  // namespace tests::kernels
