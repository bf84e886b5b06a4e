#include "core/random.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;

namespace {

RandomKey const key{12345678901234567ull, Purpose::head_weights, 42};

}  // namespace

TEST_CASE("philox: published test vectors -> same output", "[random]") {
  using Four = std::array<uint32_t, 4>;
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Four{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  constexpr uint32_t ones = 0xffffffff;
  CHECK(philox({ones, ones, ones, ones}, {ones, ones}) ==
        Four{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Four{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("random: tensors -> the numbers of the scalar generator", "[random]") {
  Device& device = tests::device();
  auto const size = GENERATE(0, 1, 31, 33, 257, 40000);
  auto const first = GENERATE(int64_t{0}, int64_t{1}, int64_t{63}, int64_t{1} << 40);
  Tensor u(device, {size}, Dtype::f32), z = empty_like(u);
  device.kernels().random_uniform(key, first, -1, 3, u);
  device.kernels().random_normal(key, first, 2, 0.5, z);
  auto const uniforms = tests::values(u), normals = tests::values(z);
  int wrong = 0;
  for (int64_t i = 0; i < size; ++i) {
    auto const number = static_cast<uint64_t>(first + i);
    auto const block = random_block(key, number / 4);
    size_t const pair = number % 4 / 2 * 2;
    auto const [x, y] = normal_pair(block[pair], block[pair + 1]);
    double const normal = 2 + 0.5 * (number % 2 ? y : x);
    double const uniform = -1 + 4 * core::uniform(block[number % 4]);
    wrong += std::abs(uniforms[static_cast<size_t>(i)] - uniform) > 1e-6;
    wrong += std::abs(normals[static_cast<size_t>(i)] - normal) > 1e-6;
  }
  CHECK(wrong == 0);
}

TEST_CASE("random: offset into a stream -> the same numbers as in the whole stream", "[random]") {
  Device& device = tests::device();
  Tensor whole(device, {500}, Dtype::f32), part(device, {100}, Dtype::f32);
  device.kernels().random_normal(key, 7, 0, 1, whole);
  device.kernels().random_normal(key, 7 + 123, 0, 1, part);
  CHECK(tests::values(part) == tests::values(whole.rows(123, 223)));
}

TEST_CASE("random: f64 and f32 tensors -> same numbers; bf16 -> error", "[random]") {
  Device& device = tests::device();
  Tensor narrow(device, {100}, Dtype::f32), wide(device, {100}, Dtype::f64);
  device.kernels().random_normal(key, 0, 1, 2, narrow);
  device.kernels().random_normal(key, 0, 1, 2, wide);
  CHECK(tests::values(narrow) == tests::values(wide));
  Tensor rounded(device, {100}, Dtype::bf16);
  CHECK_THROWS_AS(device.kernels().random_normal(key, 0, 1, 2, rounded), Error);
}

TEST_CASE("random: another seed, purpose or item -> another stream", "[random]") {
  Device& device = tests::device();
  auto const draw = [&](RandomKey const& stream) {
    Tensor t(device, {64}, Dtype::f32);
    device.kernels().random_uniform(stream, 0, 0, 1, t);
    return tests::values(t);
  };
  CHECK(draw({1, Purpose::weights, 1}) == draw({1, Purpose::weights, 1}));
  CHECK(draw({1, Purpose::weights, 1}) != draw({2, Purpose::weights, 1}));
  CHECK(draw({1, Purpose::weights, 1}) != draw({1, Purpose::dropout, 1}));
  CHECK(draw({1, Purpose::weights, 1}) != draw({1, Purpose::weights, 2}));
}

TEST_CASE("random: a million normal and uniform numbers -> expected moments", "[random]") {
  Device& device = tests::device();
  constexpr int64_t count = 1 << 20;
  Tensor z(device, {count}, Dtype::f32), u = empty_like(z);
  device.kernels().random_normal(key, 0, 0, 1, z);
  device.kernels().random_uniform(key, 0, 5, 5.25, u);
  double sum = 0, squares = 0, fourth = 0, tail = 0, uniform = 0, low = 9, high = 0;
  for (double const x : tests::values(z))
    sum += x, squares += x * x, fourth += x * x * x * x, tail += std::abs(x) > 3;
  for (double const v : tests::values(u))
    uniform += v, low = std::min(low, v), high = std::max(high, v);
  // Five standard errors; the four are 1e-3, 1.4e-3, 9.6e-3 and 5e-5.
  CHECK(std::abs(sum / count) < 5e-3);
  CHECK(std::abs(squares / count - 1) < 7e-3);
  CHECK(std::abs(fourth / count - 3) < 5e-2);
  CHECK(std::abs(tail / count - 0.0026998) < 2.6e-4);
  CHECK(std::abs(uniform / count - 5.125) < 4e-4);
  CHECK(low >= 5);
  CHECK(low < 5.0001);
  CHECK(high < 5.25);
  CHECK(high > 5.2499);
}
