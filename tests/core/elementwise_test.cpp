#include "core/cpu/device.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;
using tests::tensor;
using tests::values;

namespace {

constexpr auto quiet_nan = std::numeric_limits<double>::quiet_NaN();

/// Parallel blocks have 65536 elements: size 70001 spans two.
int64_t any_size() { return GENERATE(0, 1, 31, 33, 257, 70001); }

double rounding(Dtype dtype) {
  return dtype == Dtype::bf16 ? tests::bf16_rounding : tests::f32_elementwise;
}

}  // namespace

TEST_CASE("fill: every dtype -> every element has the value", "[elementwise]") {
  Device& device = tests::device();
  auto const dtype =
      GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::i32, Dtype::i64, Dtype::u8);
  auto const size = any_size();
  Tensor t(device, {size}, dtype);
  device.kernels().fill(3, t);
  CHECK(values(t) == std::vector<double>(static_cast<size_t>(size), 3));
}

TEST_CASE("convert: every pair of floating dtypes -> same as element by element", "[elementwise]") {
  Device& device = tests::device();
  auto const from = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  auto const to = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  Tensor const x = tests::random(device, {any_size()}, from, 1);
  Tensor y(device, x.shape(), to);
  device.kernels().convert(x, y);
  CHECK(values(y) == values(tests::as(x, to)));
}

TEST_CASE("convert: ties, infinities and NaN -> rounded to even, kept, kept", "[elementwise]") {
  Device& device = tests::device();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  std::vector<double> hard(67, 1 + 0x1p-8);  // ties, in vector and scalar parts of the loop
  for (size_t const i : {0, 40, 66}) hard[i] = quiet_nan;
  for (size_t const i : {1, 41, 65}) hard[i] = -infinity;
  Tensor const x = tensor<float>(device, {67}, hard);
  Tensor y(device, x.shape(), Dtype::bf16);
  device.kernels().convert(x, y);
  auto const rounded = values(y);
  CHECK(rounded[2] == 1);
  CHECK(rounded[64] == 1);
  for (size_t const i : {0, 40, 66}) CHECK(std::isnan(rounded[i]));
  for (size_t const i : {1, 41, 65}) CHECK(rounded[i] == -infinity);
}

TEST_CASE("convert: all 256 byte values -> the same numbers in every floating dtype",
          "[elementwise]") {
  Device& device = tests::device();
  std::vector<uint8_t> bytes(256);
  std::vector<double> expected(256);
  for (size_t i = 0; i < 256; ++i) expected[i] = bytes[i] = static_cast<uint8_t>(i);
  Tensor x(device, {256}, Dtype::u8);
  device.upload(bytes.data(), x);
  for (auto const dtype : {Dtype::f32, Dtype::f64, Dtype::bf16}) {
    Tensor y(device, {256}, dtype);
    device.kernels().convert(x, y);
    CHECK(values(y) == expected);  // 8 bits fit in bf16
  }
}

TEST_CASE("scale, accumulate and add: three values by hand -> exact results", "[elementwise]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  Tensor const x = tensor(device, {3}, dtype, {1, -2, 4});
  Tensor y = tensor(device, {3}, dtype, {8, 0.5, -1});
  Tensor z = empty_like(x);
  device.kernels().add(x, y, z);
  CHECK(values(z) == std::vector<double>{9, -1.5, 3});
  device.kernels().accumulate(-2, x, y);
  CHECK(values(y) == std::vector<double>{6, 4.5, -9});
  device.kernels().scale(0.5, y);
  CHECK(values(y) == std::vector<double>{3, 2.25, -4.5});
}

TEST_CASE("scale, accumulate and add: f32 and bf16 -> within rounding of f64", "[elementwise]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  auto const other = GENERATE(Dtype::f32, Dtype::bf16, Dtype::f64);
  auto const size = any_size();
  Tensor const x = tests::random(device, {size}, other, 1),
               a = tests::random(device, {size}, dtype, 3);
  Tensor y = tests::random(device, {size}, dtype, 2), z = empty_like(y);
  Tensor exact = tests::as(y, Dtype::f64), sum = empty_like(exact);
  auto const both = [&](auto const& f) { f(y, a, z), f(exact, tests::as(a, Dtype::f64), sum); };

  device.kernels().accumulate(1.7, x, y);
  device.kernels().accumulate(1.7, tests::as(x, Dtype::f64), exact);
  CHECK(tests::distance(y, exact) < rounding(dtype));
  both([&](Tensor& t, Tensor const&, Tensor&) { device.kernels().scale(0.3, t); });
  CHECK(tests::distance(y, exact) < rounding(dtype));
  both([&](Tensor& t, Tensor const& u, Tensor& to) { device.kernels().add(t, u, to); });
  CHECK(tests::distance(z, sum) < rounding(dtype));
}

TEST_CASE("elementwise: one and three CPU threads -> same bits", "[elementwise][cpu]") {
  cpu::Cpu one(1), three(3);
  auto const run = [](Device& device) {
    Tensor const x = tests::random(device, {300001}, Dtype::f32, 1);
    Tensor y(device, x.shape(), Dtype::bf16);
    device.kernels().convert(x, y);
    device.kernels().accumulate(0.37, x, y);
    return values(y);
  };
  CHECK(run(one) == run(three));
}
