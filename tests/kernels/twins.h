#pragma once
#include <catch2/catch.hpp>
#include <cmath>
#include "core/cpu/device.h"
#include "core/cuda/kernels.h"
#include "tests/support/host_cuda/device.h"
#include "tests/support/host_cuda/mutation.h"
#include "tests/support/reference.h"

/// CUDA kernels in any dtype beside the CPU's in f64, on the same numbers.
namespace tests::kernels {

/// A tensor of the simulated GPU, and one of the CPU in f64.
struct Twins {
  core::Tensor gpu, cpu;
};

/// Where the GPU's tensors begin: an element later, no address allows packs.
enum class Placed { aligned, unaligned };

class Pair {
 public:
  explicit Pair(Placed placed = Placed::aligned) : placed_(placed) {}

  /// The same random numbers, rounded to dtype.
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
  /// To be overwritten.
  Twins results(core::Shape const& shape, core::Dtype dtype) {
    int64_t const count = core::count(shape), skipped = placed_ == Placed::unaligned;
    core::Tensor const memory(gpu_, {count + skipped}, dtype);
    return {memory.rows(skipped, count + skipped).reshape(shape),
            core::Tensor(cpu_, shape, core::Dtype::f64)};
  }

  /// f(kernels, side) on both; a side picks a tensor: twins.*side.
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

/// Rounding in the GPU's dtype: of sums, and of single elements, which distances would hide.
inline double bound(core::Dtype dtype) {
  return dtype == core::Dtype::f64 ? 1e-12 : tolerance(dtype);
}

/// The largest |gpu - cpu| / (1 + |cpu|). A NaN on one side alone is infinitely far.
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

/// Rows and channels: packs and single elements; blocks beside and below each other; threads
/// without work; no rows, no channels.
inline std::vector<core::Shape> small_shapes() {
  return {{0, 33}, {33, 0}, {1, 1}, {31, 1}, {257, 31}, {33, 32}, {32, 255}};
}
/// Many blocks.
inline std::vector<core::Shape> large_shapes() {
  return {{4097, 1}, {4097, 32}, {255, 33}, {33, 257}, {257, 512}, {1, 4097}};
}

/// check(shape) of small shapes in every order, and of large ones in one.
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
