// Memory of the CUDA device on the stand-in: the block of a captured graph, both caches when memory
// is short, and statuses that a destructor drops.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cuda_runtime_api.h>
#include "core/cuda/device.h"
#include "core/cuda/input_stage.h"
#include "tests/support/fake_cuda/under.h"
#include "tests/support/reference.h"
#include "tests/train/trainer/small_training.h"

namespace fake_cuda = tests::fake_cuda;
using Catch::Contains;
using core::Tensor;
using core::cuda::Cuda;

namespace {

constexpr int64_t mega = 1 << 20;

/// The settings, with this much memory.
fake_cuda::Settings with_memory(int64_t bytes) {
  auto settings = fake_cuda::settings();
  settings.memory = static_cast<size_t>(bytes);
  return settings;
}

/// Adds 1 to each of `sums` by way of `count` temporary tensors of different sizes, two of which
/// are alive at a time.
void add_ones(Cuda& device, Tensor& sums, int count) {
  Tensor last = core::clone(sums);
  for (int i = 1; i <= count; ++i) {
    Tensor next(device, {sums.count() + 64 * (i % 5)}, core::Dtype::f32);
    Tensor part = next.rows(0, sums.count());
    device.copy(last, part);
    last = part;
  }
  Tensor one = core::empty_like(sums);
  device.kernels().fill(1, one);
  device.kernels().accumulate(1, one, last);
  device.copy(last, sums);
}

bool all_are(double value, Tensor const& t) {
  return std::ranges::all_of(tests::values(t), [=](double x) { return x == value; });
}

/// Overwrites `bytes` of memory in tensors of half of it.
void use(Cuda& device, int64_t bytes) {
  Tensor a(device, {bytes / 2}, core::Dtype::u8), b(device, {bytes / 2}, core::Dtype::u8);
  device.kernels().fill(7, a);
  device.copy(a, b);
}

}  // namespace

TEST_CASE("capture: rehearsed work -> one allocation and one free in the graph", "[memory]") {
  Cuda device(0, {});
  Tensor sums(device, {100}, core::Dtype::f32);
  device.kernels().fill(0, sums);
  auto const work = [&] { add_ones(device, sums, 40); };
  device.rehearse(work);
  auto const graph = device.capture(work);
  CHECK(fake_cuda::last_graph().memory == 2);
  for (int i = 0; i < 3; ++i) graph->replay();
  CHECK(all_are(4, sums));
}

TEST_CASE("capture: more tensors than in the rehearsal -> nodes of their own", "[memory]") {
  Cuda device(0, {});
  Tensor sums(device, {100}, core::Dtype::f32);
  device.kernels().fill(0, sums);
  bool const rehearsed = GENERATE(true, false);
  if (rehearsed) device.rehearse([&] { add_ones(device, sums, 1); });
  auto const graph = device.capture([&] {
    Tensor const more(device, {5000}, core::Dtype::f32);
    add_ones(device, sums, 3);
  });
  CHECK(fake_cuda::last_graph().memory > 2);
  graph->replay();
  graph->replay();
  CHECK(all_are(rehearsed ? 3 : 2, sums));
}

TEST_CASE("capture: a tensor outlives it -> Error, and the device stays usable", "[memory]") {
  Cuda device(0, {});
  bool const rehearsed = GENERATE(true, false);
  Tensor kept;
  auto const work = [&] { kept = Tensor(device, {1000}, core::Dtype::f32); };
  if (rehearsed) device.rehearse(work);
  kept = {};
  CHECK_THROWS_WITH(device.capture(work), Contains("outlive it: 1"));
  kept = {};
  Tensor sums(device, {10}, core::Dtype::f32);
  device.kernels().fill(3, sums);
  CHECK(all_are(3, sums));
}

TEST_CASE("capture: an exception -> thrown, and the device captures again", "[memory]") {
  Cuda device(0, {});
  Tensor sums(device, {10}, core::Dtype::f32);
  device.kernels().fill(0, sums);
  auto const work = [&] { add_ones(device, sums, 2); };
  device.rehearse(work);
  CHECK_THROWS_WITH(device.capture([&] {
    work();
    core::fail("deliberate");
  }),
                    Contains("deliberate"));
  auto const graph = device.capture(work);
  graph->replay();
  CHECK(all_are(2, sums));
}

TEST_CASE("training: captured step -> one allocation and one free among its nodes", "[memory]") {
  Cuda device(0, {});
  tests::SmallTraining training(tests::small_experiment({"data.samples=120"}), device);
  for (int i = 0; i < 5; ++i) training.step();
  CHECK(fake_cuda::last_graph().all > 100);
  CHECK(fake_cuda::last_graph().memory == 2);
}

TEST_CASE("memory: graph and eager work, each of which fits alone -> both run, in turn",
          "[memory]") {
  fake_cuda::Under const small(with_memory(10 * mega));
  Cuda device(0, {});
  Tensor sums(device, {mega / 4}, core::Dtype::f32);  // 1 MiB
  device.kernels().fill(0, sums);
  auto const work = [&] { add_ones(device, sums, 6); };
  device.rehearse(work);
  auto const graph = device.capture(work);
  graph->replay();
  size_t const with_graph = device.memory().now;
  CHECK(with_graph > static_cast<size_t>(3 * mega));
  for (int i = 0; i < 3; ++i) {
    use(device, 8 * mega);  // leaves no room for the graph, and its blocks in the pool
    CHECK(device.memory().now < static_cast<size_t>(1.1 * mega));
    graph->replay();
    CHECK(device.memory().now == with_graph);
  }
  CHECK(all_are(5, sums));
  CHECK(device.memory().peak >= static_cast<size_t>(9 * mega));
}

TEST_CASE("memory: exhausted beside a graph -> OutOfMemory names both parts", "[memory]") {
  fake_cuda::Under const small(with_memory(10 * mega));
  Cuda device(0, {});
  Tensor sums(device, {mega / 4}, core::Dtype::f32);
  device.kernels().fill(0, sums);
  auto const work = [&] { add_ones(device, sums, 2); };
  device.rehearse(work);
  auto const graph = device.capture(work);
  graph->replay();
  try {
    use(device, 20 * mega);
    FAIL("20 MiB in a memory of 10 MiB");
  } catch (core::OutOfMemory const& error) {
    CHECK_THAT(error.what(), Contains("requested 10485760 bytes with 1048576 bytes in use by "
                                      "tensors, 0 bytes reserved by captured graphs"));
  }
  Tensor most(device, {8 * mega}, core::Dtype::u8);
  CHECK_THROWS_AS(graph->replay(), core::OutOfMemory);
  CHECK_THROWS_WITH(graph->replay(), Contains("bytes for a captured graph with 9437184 bytes in"));
  most = {};
  graph->replay();
  CHECK(all_are(3, sums));
}

TEST_CASE("memory: no memory at the first attempt to make a graph -> made at the second",
          "[memory]") {
  Cuda device(0, {});
  Tensor sums(device, {10}, core::Dtype::f32);
  device.kernels().fill(0, sums);
  auto const* const call = GENERATE("cudaGraphInstantiate", "cudaGraphLaunch");
  fake_cuda::fail_next(call, cudaErrorMemoryAllocation);
  auto const graph = device.capture([&] { add_ones(device, sums, 1); });
  graph->replay();
  CHECK(all_are(1, sums));
}

TEST_CASE("destructor: a CUDA call fails -> the next kernel launch does not", "[memory]") {
  Cuda device(0, {});
  Tensor sums(device, {10}, core::Dtype::f32);
  auto const fails = [](char const* call) { fake_cuda::fail_next(call, cudaErrorInvalidValue); };
  SECTION("tensor") {
    Tensor const gone(device, {10}, core::Dtype::f32);
    fails("cudaFreeAsync");
  }
  SECTION("input stage") {
    core::cuda::CudaInputStage const gone(device);
    fails("cudaStreamSynchronize");
  }
  SECTION("page-locked memory") {
    core::cuda::Pinned const gone(100);
    fails("cudaFreeHost");
  }
  SECTION("event") {
    auto const gone = core::cuda::make_event();
    fails("cudaEventDestroy");
  }
  CHECK_NOTHROW(device.kernels().fill(3, sums));
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(all_are(3, sums));
}
