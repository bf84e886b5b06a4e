#include "core/device.h"
#include <catch2/catch.hpp>
#include <optional>
#include <thread>
#include <vector>
#include "core/cpu/device.h"
#include "tests/support/device.h"

using namespace core;

TEST_CASE("cpu: allocate and free -> aligned and counted memory, freed blocks are reused",
          "[device][cpu]") {
  cpu::Cpu device;
  CHECK(device.memory().now == 0);
  auto const bytes = GENERATE(size_t{0}, size_t{1}, size_t{64}, size_t{1000}, size_t{5} << 20);
  std::optional first{device.allocate(bytes)};
  std::byte* const address = first->get();
  CHECK(reinterpret_cast<uintptr_t>(address) % 64 == 0);
  std::fill_n(address, bytes, std::byte{7});  // writes the whole block

  size_t const one = device.memory().now;
  CHECK(one >= bytes);
  CHECK(one <= std::max<size_t>(64, bytes + bytes / 8 + 64));
  auto const second = device.allocate(bytes);
  CHECK(second.get() != address);
  CHECK(device.memory().now == 2 * one);

  first.reset();
  CHECK(device.memory().now == one);
  CHECK(device.memory().peak == 2 * one);
  CHECK(device.allocate(bytes).get() == address);
  CHECK(device.memory().peak == 2 * one);
}

TEST_CASE("cpu: allocation of 2^61 bytes -> OutOfMemory with the requested and used bytes",
          "[device][cpu]") {
  cpu::Cpu device;
  Tensor const kept(device, {1000}, Dtype::f32);
  auto const dropped = [&] { return Tensor(device, {1 << 20}, Dtype::f32).raw(); };
  dropped();  // leaves a cached block for the second attempt to release
  try {
    Tensor const huge(device, {int64_t{1} << 58}, Dtype::f64);
    FAIL("allocated 2^61 bytes");
  } catch (OutOfMemory const& error) {
    std::string const text = error.what();
    CHECK(text.find("requested 2305843009213693952 bytes") != std::string::npos);
    CHECK(text.find(join(device.memory().now) + " bytes in use") != std::string::npos);
  }
  CHECK(device.memory().now >= 4000);
  CHECK(device.memory().now < 5000);
  CHECK(dropped() != nullptr);  // the device stays usable
}

TEST_CASE("cpu: device destroyed before a block -> the block stays valid", "[device][cpu]") {
  std::optional<cpu::Cpu> device(std::in_place);
  auto const block = device->allocate(4096);
  device.reset();
  std::fill_n(block.get(), 4096, std::byte{1});
  CHECK(block.get()[4095] == std::byte{1});
}

TEST_CASE("cpu: three threads allocate and free -> no memory left in use", "[device][cpu]") {
  cpu::Cpu device;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i)
    threads.emplace_back([&device] {
      for (int round = 0; round < 200; ++round) {
        Tensor const a(device, {round + 1}, Dtype::f64), b(device, {1 << 16}, Dtype::u8);
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(device.memory().now == 0);
}

TEST_CASE("cpu: copy between overlapping views -> the source's original values", "[device][cpu]") {
  cpu::Cpu device;
  std::vector<int32_t> host{3, -1, 4, 1, -5};
  Tensor t(device, {5}, Dtype::i32), to = t.rows(1, 5);
  device.upload(host.data(), t);
  device.copy(t.rows(0, 4), to);
  device.download(t, host.data());
  CHECK(host == std::vector<int32_t>{3, 3, -1, 4, 1});
}

TEST_CASE("device: upload, copy and download -> unchanged bytes", "[device]") {
  Device& device = tests::device();
  std::vector<int32_t> const host{3, -1, 4, 1, -5};
  Tensor t(device, {5}, Dtype::i32);
  device.upload(host.data(), t);
  Tensor copy = clone(t);
  std::vector<int32_t> back(5);
  device.download(copy, back.data());
  CHECK(back == host);

  Tensor to = copy.rows(3, 5);
  device.copy(t.rows(0, 2), to);
  device.download(copy, back.data());
  CHECK(back == std::vector<int32_t>{3, -1, 4, 3, -1});

  Tensor none(device, {0, 3}, Dtype::f32);
  device.upload(nullptr, none);
  device.download(none, nullptr);
}

TEST_CASE("cpu: describe -> thread count, and bf16 exactly where it is fast", "[device][cpu]") {
  CHECK(cpu::Cpu(1).describe().find("CPU, 1 thread") == 0);
  CHECK(cpu::Cpu(3).describe().find("CPU, 3 threads") == 0);
  cpu::Cpu const device;
  CHECK((device.describe().find("bf16") != std::string::npos) == device.fast_bf16());
}
