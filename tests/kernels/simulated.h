#pragma once
#include <array>
#include "core/cpu/kernels.h"
#include "core/cuda/kernels.h"
#include "tests/support/host_cuda/device.h"
#include "tests/support/host_cuda/mutation.h"
#include "tests/support/reference.h"

/// Fixtures for tests of the CUDA kernels. The simulated GPU's memory is host memory, so the
/// reference kernels of the CPU can use the same tensors.
namespace tests::kernels {

/// A simulated GPU, and the CPU's kernels as the reference.
struct Gpu {
  SimulatedDevice device{std::make_unique<core::cuda::CudaKernels>(nullptr, core::cuda::Options{})};
  core::Kernels& kernels = device.kernels();
  core::cpu::CpuKernels cpu;
};

/// Sizes around a warp and a block, and larger than a tile.
inline constexpr std::array<int64_t, 7> odd_sizes{1, 31, 32, 33, 255, 257, 4097};

/// Uninitialized tensor whose address is aligned to its element size only.
inline core::Tensor unaligned(core::Device& device, core::Shape const& shape, core::Dtype dtype) {
  int64_t const count = core::count(shape);
  return core::Tensor(device, {count + 1}, dtype).rows(1, count + 1).reshape(shape);
}

/// A copy of `t` at such an address.
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

/// Bitwise equality, except that all NaN are equal.
inline bool equal(core::Tensor const& a, core::Tensor const& b) {
  auto const x = values(a), y = values(b);
  return std::ranges::equal(x, y, [](double p, double q) { return p == q || (p != p && q != q); });
}

}  // namespace tests::kernels
