#include <catch2/catch.hpp>
#include "core/dry/device.h"
#include "core/kernels.h"

using core::Dtype;
using core::Tensor;
using core::Transpose;
using core::dry::DryRunDevice;
using core::dry::Work;

namespace {

constexpr int64_t cache = 1000;
core::dry::Traits const traits{"nowhere", cache, true, 5000};

Work sum(DryRunDevice const& device) {
  Work all;
  for (auto const& stretch : device.stretches())
    for (auto const& [work, times] : stretch.work) {
      all.flops += work.flops * static_cast<double>(times);
      all.bytes += work.bytes * static_cast<double>(times);
    }
  return all;
}

}  // namespace

TEST_CASE("dry-run device: traits given -> returned by its queries; capture is an error", "[dry]") {
  DryRunDevice device(traits);
  CHECK(device.describe() == "nowhere");
  CHECK(device.cache_bytes() == cache);
  CHECK(device.fast_bf16());
  CHECK(device.capacity() == 5000);
  CHECK_FALSE(device.on_host());
  CHECK(device.free_memory() == 5000);
  Tensor const taken(device, {32}, Dtype::f32);
  CHECK(device.free_memory() == 5000 - 128);
  CHECK(DryRunDevice({.name = "host", .on_host = true}).on_host());
  CHECK_FALSE(device.can_capture());
  CHECK_THROWS_AS(device.capture([] {}), core::Error);
}

TEST_CASE("dry-run device: tensors in several parts -> bytes per part, in whole cache lines",
          "[dry]") {
  DryRunDevice device(traits);
  device.enter("a");
  Tensor const a(device, {33}, Dtype::f32);  // 132 bytes
  CHECK(device.memory().now == 192);
  device.enter("b");
  {
    Tensor const b(device, {1000}, Dtype::f64), view = b.rows(10, 20);
    CHECK(device.memory().now == 192 + 8000);
  }
  Tensor const c(device, {16}, Dtype::f32), empty(device, {0}, Dtype::f32);
  CHECK(device.memory().now == 192 + 64 + 64);
  CHECK(device.memory().peak == 192 + 8000);
  CHECK(device.parts_at_peak() == core::dry::Parts{{"a", 192}, {"b", 8000}});
  device.enter("c");
  Tensor const d(device, {9000}, Dtype::u8);
  CHECK(device.parts_at_peak() == core::dry::Parts{{"a", 192}, {"b", 128}, {"c", 9024}});
  CHECK(device.peak_of_parts() == core::dry::Parts{{"a", 192}, {"b", 8000}, {"c", 9024}});
  device.reset();
  CHECK(device.peak_of_parts() == core::dry::Parts{{"a", 192}, {"b", 128}, {"c", 9024}});
  CHECK(device.memory().peak == 192 + 128 + 9024);
}

TEST_CASE("dry-run device: tensor of 2^46 bytes -> counted without being allocated", "[dry]") {
  DryRunDevice device(traits);
  Tensor const huge(device, {int64_t{1} << 44}, Dtype::f32);
  CHECK(device.memory().now == size_t{1} << 46);
  CHECK(huge.rows(5, 6).count() == 1);
}

TEST_CASE("dry-run device: assign -> moves a tensor's bytes to another part", "[dry]") {
  DryRunDevice device(traits);
  device.enter("a");
  Tensor const a(device, {4, 16}, Dtype::f32), other(device, {16}, Dtype::f32);
  device.assign(a.rows(1, 3), "b");
  Tensor const more(device, {16}, Dtype::f32);
  CHECK(device.parts_at_peak() == core::dry::Parts{{"a", 128}, {"b", 256}});
}

TEST_CASE("dry-run device: destroyed before a tensor -> the tensor keeps its shape", "[dry]") {
  Tensor left;
  {
    DryRunDevice device(traits);
    left = Tensor(device, {5}, Dtype::f32);
  }
  CHECK(left.count() == 5);
}

TEST_CASE("dry-run device: download -> zeros", "[dry]") {
  DryRunDevice device(traits);
  Tensor t(device, {2}, Dtype::f32);
  float values[2] = {1, 2};
  device.upload(values, t);
  device.download(t, values);
  CHECK(values[0] == 0);
  CHECK(values[1] == 0);
}

TEST_CASE("dry-run kernels: matmul and relu -> FLOPs, and bytes of parts larger than the cache",
          "[dry]") {
  DryRunDevice device(traits);
  device.enter("large");
  Tensor const a(device, {7, 100}, Dtype::f32), b(device, {11, 100}, Dtype::f32);
  device.enter("small");
  Tensor c(device, {7, 11}, Dtype::f32);
  device.kernels().matmul(a, Transpose::no, b, Transpose::yes, 1, 0, c);
  CHECK(sum(device) == Work{2.0 * 7 * 11 * 100, 4.0 * (7 + 11) * 100});
  device.kernels().relu(c, c);  // stays in the cache
  CHECK(sum(device).bytes == 4.0 * (7 + 11) * 100);
  device.reset();
  Tensor at(device, {100, 100}, Dtype::f32);  // the part no longer fits the cache
  device.kernels().matmul(b, Transpose::yes, b, Transpose::no, 1, 0, at);
  device.kernels().relu(c, c);
  CHECK(sum(device) == Work{2.0 * 11 * 100 * 100, 4.0 * (2 * 11 * 100 + 100 * 100 + 2 * 77)});
}

TEST_CASE("dry-run kernels: conv2d and its backward passes -> FLOPs per weight and output pixel",
          "[dry]") {
  DryRunDevice device(traits);
  core::Window const window{{3, 3}, {2, 2}, {1, 1}};
  Tensor x(device, {2, 8, 8, 6}, Dtype::f32), w(device, {10, 3, 3, 3}, Dtype::f32);
  Tensor y(device, {2, 4, 4, 10}, Dtype::f32);
  double const flops = 2.0 * (2 * 4 * 4) * 10 * 3 * 3 * 3;
  device.kernels().conv2d(x, w, {}, window, 2, y);
  CHECK(sum(device).flops == flops);
  device.kernels().conv2d_backward_input(y, w, window, 2, core::Store::replace, x);
  device.kernels().conv2d_backward_weights(x, y, window, 2, w);
  CHECK(sum(device).flops == 3 * flops);
}

TEST_CASE("dry-run device: phases -> kernels by phase, with the sizes of products", "[dry]") {
  DryRunDevice device(traits);
  Tensor const a(device, {7, 10}, Dtype::f32), b(device, {11, 10}, Dtype::f32);
  Tensor c(device, {7, 11}, Dtype::f32);
  device.begin_phase("one");
  for (int i = 0; i < 2; ++i) device.kernels().matmul(a, Transpose::no, b, Transpose::yes, 1, 0, c);
  device.begin_phase("two");
  Tensor d(device, {11, 10}, Dtype::f32);
  device.kernels().matmul(c, Transpose::yes, a, Transpose::no, 1, 0, d);
  device.kernels().relu(d, d);
  auto const& stretches = device.stretches();
  REQUIRE(stretches.size() == 3);
  CHECK(stretches[1].phase == "one");
  CHECK(stretches[1].work == core::dry::WorkCounts{{{2.0 * 7 * 11 * 10, 0, 7, 11, 10}, 2}});
  CHECK(stretches[2].phase == "two");
  CHECK(stretches[2].work ==
        core::dry::WorkCounts{{{2.0 * 7 * 11 * 10, 0, 11, 10, 7}, 1}, {{}, 1}});
  device.reset();
  REQUIRE(device.stretches().size() == 1);
  CHECK(device.stretches()[0].phase == "two");
  CHECK(device.stretches()[0].work.empty());
}
