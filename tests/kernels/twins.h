#pragma once
#include <catch2/catch.hpp>
#include <cmath>
#include "core/cpu/device.h"
#include "core/cuda/kernels.h"
#include "tests/support/host_cuda/device.h"
#include "tests/support/host_cuda/mutation.h"
#include "tests/support/reference.h"

/// Runs CUDA kernels in any dtype and the CPU's in f64 on the same numbers.
namespace tests::kernels {

/// A tensor of the simulated GPU and its f64 counterpart on the CPU.
struct Twins {
  core::Tensor gpu, cpu;
};

/// Address of the GPU's tensors: aligned, or one element later, which does not allow packs.
enum class Placed { aligned, unaligned };

class Pair {
 public:
  explicit Pair(Placed placed = Placed::aligned) : placed_(placed) {}

  /// The same normally distributed numbers on both sides, rounded to dtype.
  Twins random(core::Shape const& shape, core::Dtype dtype, unsigned seed, double mean = 0,
               double stddev = 1) {
    std::vector<double> numbers = values(tests::random(cpu_, shape, core::Dtype::f64, seed));
    for (double& number : numbers) number = mean + stddev * number;
    return twins(shape, dtype, numbers);
  }
  Twins twins(core::Shape const& shape, core::Dtype dtype, std::vector<double> const& numbers) {
    Twins made = results(shape, dtype);
    core::visit_floating(dtype, [&]<class T>() {
      std::vector<T> const rounded(numbers.begin(), numbers.end());
      gpu_.upload(rounded.data(), made.gpu);
    });
    made.cpu = tensor<double>(cpu_, shape, values(made.gpu));
    return made;
  }
  /// Tensors for results; their contents are to be overwritten.
  Twins results(core::Shape const& shape, core::Dtype dtype) {
    int64_t const count = core::count(shape), skipped = placed_ == Placed::unaligned;
    core::Tensor const memory(gpu_, {count + skipped}, dtype);
    return {memory.rows(skipped, count + skipped).reshape(shape),
            core::Tensor(cpu_, shape, core::Dtype::f64)};
  }

  /// Bytes of both sides, to be overwritten.
  Twins bytes(core::Shape const& shape) {
    return {core::Tensor(gpu_, shape, core::Dtype::u8), core::Tensor(cpu_, shape, core::Dtype::u8)};
  }

  /// Calls f(kernels, side) for both; a side selects a tensor: twins.*side.
  template <class F>
  void run(F const& f) {
    f(cpu_.kernels(), &Twins::cpu);
    f(gpu_.kernels(), &Twins::gpu);
    gpu_.check_guards();
  }

 private:
  Placed placed_;
  core::cpu::Cpu cpu_;
  SimulatedDevice gpu_{std::make_unique<core::cuda::CudaKernels>(nullptr, core::cuda::Options{})};
};

/// Rounding bound of the GPU's dtype, for sums and for single elements, which a norm would hide.
inline double bound(core::Dtype dtype) {
  return dtype == core::Dtype::f64 ? 1e-12 : tolerance(dtype);
}

/// The largest |gpu - cpu| / (1 + |cpu|); infinite if only one side is NaN.
inline double gap(Twins const& twins) {
  auto const got = values(twins.gpu), want = values(twins.cpu);
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(got[i]) && std::isnan(want[i])) continue;
    double const here = std::abs(got[i] - want[i]) / (1 + std::abs(want[i]));
    worst = here <= worst ? worst : std::isnan(here) ? INFINITY : here;
  }
  return worst;
}

inline void agree(Twins const& twins) { CHECK(gap(twins) < bound(twins.gpu.dtype())); }

/// Shapes (rows, channels): packs and single elements, neighboring blocks in both directions, idle
/// threads, no rows, no channels.
inline std::vector<core::Shape> small_shapes() {
  return {{0, 33}, {33, 0}, {1, 1}, {31, 1}, {257, 31}, {33, 32}, {32, 255}};
}
/// Shapes of many blocks.
inline std::vector<core::Shape> large_shapes() {
  return {{4097, 1}, {4097, 32}, {255, 33}, {33, 257}, {257, 512}, {1, 4097}};
}

/// Calls check(shape) for small shapes in every order and for large shapes in one.
template <class F>
void for_shapes(F const& check) {
  for (host_cuda::Settings const& settings : host_cuda::all_orders()) {
    host_cuda::Under const under(settings);
    for (core::Shape const& shape : small_shapes()) {
      CAPTURE(shape, settings.order);
      check(shape);
    }
  }
  host_cuda::Under const under({.order = host_cuda::Order::shuffled});
  for (core::Shape const& shape : large_shapes()) {
    CAPTURE(shape);
    check(shape);
  }
}

}  // namespace tests::kernels
