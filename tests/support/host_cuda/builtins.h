#pragma once

// CUDA's types for grid coordinates, and the values of its built-in variables.

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

/// Values of the CUDA thread that the current host thread runs.
constinit inline thread_local Builtins builtins;

}  // namespace tests::host_cuda
