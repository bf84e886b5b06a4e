#include "tests/kernels/simulated.h"

using namespace core;
using namespace tests::kernels;
using tests::values;
using tests::host_cuda::all_orders;
using tests::host_cuda::Under;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

Tensor random_logits(Device& device, Shape const& shape, Dtype dtype, unsigned seed) {
  Tensor z = tests::random(device, shape, dtype, seed);
  device.kernels().scale(3, z);
  return z;
}

/// A chunk of z with the bias added, and the statistics after it; they begin with other classes'.
struct Chunk {
  Tensor z, stats;

  Chunk(Kernels& kernels, Tensor const& logits, Tensor const& bias, Tensor const& labels,
        int64_t first, Tensor const& before)
      : z(clone(logits)), stats(clone(before)) {
    kernels.softmax_statistics(bias, labels, first, z, stats);
  }
};

Tensor begun(Kernels& kernels, Device& device, int64_t rows, Dtype dtype) {
  Tensor stats(device, {rows, 3}, dtype);
  kernels.softmax_begin(stats);
  return stats;
}

/// Five rows: a label in the chunk's first class, in its last, negative, below it and above.
Tensor some_labels(Device& device, int64_t first, int64_t classes) {
  return integers(device, {first, first + classes - 1, -1, first - 1, first + classes});
}

bool close(Tensor const& fast, Tensor const& exact) {
  return tests::distance(fast, exact) < tests::f32_elementwise;
}

}  // namespace

TEST_CASE("CUDA softmax_begin: nothing seen yet", "[kernels][softmax]") {
  Gpu gpu;
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  for (int64_t const rows : {0, 1, 257})
    CHECK(equal(begun(gpu.kernels, gpu.device, rows, dtype),
                begun(gpu.cpu, gpu.device, rows, dtype)));
}

TEST_CASE("CUDA softmax_statistics: agrees with f64", "[kernels][softmax]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  auto const classes = GENERATE(int64_t{64}, int64_t{9000}, from_range(odd_sizes));
  auto const biased = GENERATE(false, true);
  constexpr int64_t first = 100;
  Tensor const z = random_logits(gpu.device, {5, classes}, dtype, 1);
  Tensor const bias = biased ? tests::random(gpu.device, {classes}, dtype, 2) : Tensor{};
  Tensor const labels = some_labels(gpu.device, first, classes);
  Tensor const before = tests::tensor(gpu.device, {5, 3}, dtype,
                                      {-9, 2, 0, 30, 1, 0, -infinity, 0, 0,  //
                                       0.5, 1, 7, -infinity, 0, 0});
  Chunk const fast(gpu.kernels, z, bias, labels, first, before);
  Chunk const exact(gpu.cpu, tests::as(z, Dtype::f64),
                    biased ? tests::as(bias, Dtype::f64) : Tensor{}, labels, first,
                    tests::as(before, Dtype::f64));
  CHECK(close(fast.z, exact.z));
  CHECK(close(fast.stats, exact.stats));

  // Addresses do not change a bit.
  Tensor apart = unaligned(z), stats = clone(before);
  gpu.kernels.softmax_statistics(biased ? unaligned(bias) : Tensor{}, labels, first, apart, stats);
  CHECK(equal(apart, fast.z));
  CHECK(equal(stats, fast.stats));
}

TEST_CASE("CUDA softmax_statistics: no classes, no rows, rows of -inf, what is not finite",
          "[kernels][softmax]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  auto const same = [&](Tensor const& z, Tensor const& labels, Tensor const& before) {
    Chunk const fast(gpu.kernels, z, {}, labels, 0, before);
    Chunk const exact(gpu.cpu, z, {}, labels, 0, before);
    return equal(fast.stats, exact.stats) && equal(fast.z, exact.z);
  };
  Tensor const labels = integers(gpu.device, {0, 5});
  Tensor const seen = tests::tensor(gpu.device, {2, 3}, dtype, {-infinity, 0, 0, 2, 1.5, 7});
  CHECK(same(Tensor(gpu.device, {2, 0}, dtype), labels, seen));
  CHECK(same(Tensor(gpu.device, {0, 5}, dtype), integers(gpu.device, {}),
             Tensor(gpu.device, {0, 3}, dtype)));
  Tensor z(gpu.device, {2, 4097}, dtype);
  gpu.kernels.fill(-infinity, z);
  CHECK(same(z, labels, seen));
  CHECK(same(z, labels, begun(gpu.cpu, gpu.device, 2, dtype)));
  auto const bad = GENERATE(as<double>{}, infinity, std::nan(""));
  for (int64_t const place : {int64_t{0}, int64_t{4000}, int64_t{4096}}) {
    Tensor one = tests::tensor(gpu.device, {1, 1}, dtype, {bad});
    gpu.kernels.fill(0.5, z);
    gpu.kernels.copy_columns(one, 0, 1, z, place);
    Chunk const chunk(gpu.kernels, z, {}, labels, 0, seen);
    CHECK_FALSE(std::isfinite(values(chunk.stats)[1]));
  }
}

TEST_CASE("CUDA softmax_statistics: every barrier is needed", "[kernels][softmax]") {
  Gpu gpu;
  auto const right = [&](unsigned run) {
    Tensor const z = random_logits(gpu.device, {3, 5000}, Dtype::f32, run + 1);
    Tensor const labels = integers(gpu.device, {4, 4999, -1});
    Chunk const fast(gpu.kernels, z, {}, labels, 0, begun(gpu.kernels, gpu.device, 3, Dtype::f32));
    Chunk const exact(gpu.cpu, tests::as(z, Dtype::f64), {}, labels, 0,
                      begun(gpu.cpu, gpu.device, 3, Dtype::f64));
    return close(fast.stats, exact.stats);
  };
  CHECK(tests::host_cuda::unnoticed_barriers(right).empty());
}

TEST_CASE("CUDA softmax_merge: agrees with f64", "[kernels][softmax]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  auto const rows = GENERATE(int64_t{0}, from_range(odd_sizes));
  auto const shards = GENERATE(int64_t{1}, int64_t{3});
  auto statistics = values(tests::random(gpu.device, {shards, rows, 3}, Dtype::f64, 1));
  for (size_t i = 1; i < statistics.size(); i += 3)
    statistics[i] = 1 + std::abs(statistics[i]);  // sums of exp
  Tensor const parts = tests::tensor(gpu.device, {shards, rows, 3}, dtype, statistics);
  std::vector<int64_t> numbers;
  for (int64_t r = 0; r < rows; ++r) numbers.push_back(r % 5 == 1 ? -1 : r);
  Tensor const labels = integers(gpu.device, numbers);
  auto const merged = [&](Kernels& kernels, Tensor const& from) {
    Tensor lse(gpu.device, {rows}, from.dtype()), loss = empty_like(lse);
    kernels.softmax_merge(from, labels, lse, loss);
    return std::pair{lse, loss};
  };
  auto const fast = merged(gpu.kernels, parts);
  auto const exact = merged(gpu.cpu, tests::as(parts, Dtype::f64));
  CHECK(close(fast.first, exact.first));
  CHECK(close(fast.second, exact.second));
}

TEST_CASE("CUDA softmax_merge: shards that have seen nothing", "[kernels][softmax]") {
  Gpu gpu;
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  Tensor const parts = tests::tensor(gpu.device, {2, 2, 3}, dtype,
                                     {-infinity, 0, 0, -infinity, 0, 0,  //
                                      2, 1, 2, -infinity, 0, 0});
  Tensor lse(gpu.device, {2}, dtype), loss = empty_like(lse);
  gpu.kernels.softmax_merge(parts, integers(gpu.device, {3, -1}), lse, loss);
  CHECK(values(lse) == std::vector<double>{2, -infinity});
  CHECK(values(loss) == std::vector<double>{0, 0});
}

TEST_CASE("CUDA softmax_gradient: agrees with f64", "[kernels][softmax]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  auto const classes = GENERATE(int64_t{0}, int64_t{64}, from_range(odd_sizes));
  constexpr int64_t first = 100;
  Dtype const wide = accumulator(dtype);
  Tensor const z = random_logits(gpu.device, {5, classes}, wide, 1);
  // Rows that do not count may hold anything.
  Tensor const lse = tests::tensor(gpu.device, {5}, wide, {3, 4, std::nan(""), 6, 7});
  Tensor const labels = some_labels(gpu.device, first, classes);
  Tensor fast(gpu.device, z.shape(), dtype), apart = unaligned(gpu.device, z.shape(), dtype),
                                             exact(gpu.device, z.shape(), Dtype::f64);
  gpu.kernels.softmax_gradient(z, lse, labels, first, 0.125, fast);
  gpu.kernels.softmax_gradient(unaligned(z), lse, labels, first, 0.125, apart);
  gpu.cpu.softmax_gradient(tests::as(z, Dtype::f64), tests::as(lse, Dtype::f64), labels, first,
                           0.125, exact);
  CHECK(tests::distance(fast, exact) < (dtype == Dtype::bf16 ? 4e-3 : tests::f32_elementwise));
  CHECK(equal(apart, fast));
}
