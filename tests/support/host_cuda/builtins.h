#pragma once

// CUDA's types for places in a grid, and what its built-in variables hold.

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace tests::host_cuda {

struct Builtins {
  uint3 thread{}, block{};
  dim3 block_size, grid_size;
};

/// Of the CUDA thread that this thread of the host runs now.
constinit inline thread_local Builtins builtins;

}  // namespace tests::host_cuda
