#include "tests/support/host_cuda/device.h"
#include <catch2/catch.hpp>
#include <cstdint>
#include "core/cpu/kernels.h"

using core::Dtype;
using core::Tensor;

TEST_CASE("simulated device: upload, copy and download -> unchanged data and counted memory") {
  tests::SimulatedDevice device(std::make_unique<core::cpu::CpuKernels>());
  std::vector<float> const data{1, 2, 3};
  Tensor a(device, {3}, Dtype::f32), b = core::empty_like(a);
  CHECK(reinterpret_cast<uintptr_t>(a.raw()) % 64 == 0);
  device.upload(data.data(), a);
  device.copy(a, b);
  device.kernels().scale(2, b);
  std::vector<float> got(3);
  device.download(b, got.data());
  CHECK(got == std::vector<float>{2, 4, 6});

  b = {};
  CHECK(device.memory().now == 12);
  CHECK(device.memory().peak == 24);
  Tensor const fed = device.input_stage()->next(data.data(), {3}, Dtype::f32);
  device.download(fed, got.data());
  CHECK(got == data);
  CHECK_THROWS_AS(Tensor(device, {int64_t{1} << 60}, Dtype::u8), core::OutOfMemory);
}

TEST_CASE("simulated device: destroyed before its tensors -> the tensors stay valid") {
  Tensor kept;
  {
    tests::SimulatedDevice device(std::make_unique<core::cpu::CpuKernels>());
    kept = Tensor(device, {1}, Dtype::i32);
  }
  kept.data<int32_t>()[0] = 3;
  CHECK(kept.data<int32_t>()[0] == 3);
}
