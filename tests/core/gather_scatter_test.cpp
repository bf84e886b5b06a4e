// Gather and scatter of rows by index, and row scaling.
#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;

namespace {

Tensor places_of(Device& device, std::vector<int64_t> const& indices) {
  Tensor t(device, {int64_t(indices.size())}, Dtype::i64);
  device.upload(indices.data(), t);
  return t;
}

/// `count` distinct indices in [0, rows), and some out of range.
std::vector<int64_t> some_places(int64_t count, int64_t rows) {
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < count; ++i) indices.push_back((i * 7 + 3) % rows);
  if (count > 4) indices[1] = -1, indices[2] = rows, indices[3] = int64_t{1} << 40;
  return indices;
}

/// Row r of a row-major matrix.
std::vector<double> row_of(std::vector<double> const& all, int64_t r, int64_t width) {
  return {all.begin() + r * width, all.begin() + (r + 1) * width};
}

}  // namespace

TEST_CASE(
    "gather_rows and scatter_rows: rows by hand in every dtype -> indices out of range read 0 and "
    "write nothing",
    "[places]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  Tensor const x = tests::tensor(device, {3, 2}, dtype, {1, 2, 3, 4, 5, 6});
  Tensor y = tests::tensor(device, {5, 2}, dtype, std::vector<double>(10, 9));
  device.kernels().gather_rows(x, places_of(device, {2, -1, 0, 2, 3}), 0, y);
  CHECK(tests::values(y) == std::vector<double>{5, 6, 0, 0, 1, 2, 5, 6, 0, 0});
  // The same indices, offset by a large `first`.
  constexpr int64_t first = int64_t{1} << 40;
  device.kernels().gather_rows(x, places_of(device, {first + 2, -1, first, first + 2, first + 3}),
                               first, y);
  CHECK(tests::values(y) == std::vector<double>{5, 6, 0, 0, 1, 2, 5, 6, 0, 0});
  Tensor to = tests::tensor(device, {3, 2}, dtype, std::vector<double>(6, 9));
  device.kernels().scatter_rows(y.rows(2, 5), places_of(device, {1, 3, -5}), to);
  CHECK(tests::values(to) == std::vector<double>{9, 9, 1, 2, 9, 9});
}

TEST_CASE("gather_rows and scatter_rows: i64 vectors -> elements moved by index", "[places]") {
  Device& device = tests::device();
  Tensor const x = places_of(device, {10, 20, int64_t{1} << 50});
  Tensor y = places_of(device, {1, 2});
  device.kernels().gather_rows(x, places_of(device, {2, 7}), 0, y);
  CHECK(tests::values(y) == std::vector<double>{0x1p50, 0});
  Tensor to = places_of(device, {1, 2, 3, 4});
  device.kernels().scatter_rows(x, places_of(device, {3, 4, 0}), to);
  CHECK(tests::values(to) == std::vector<double>{0x1p50, 2, 3, 10});
}

TEST_CASE("gather_rows and scatter_rows: every size -> same as plain loops", "[places]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  auto const width = GENERATE(0, 1, 31, 32, 33, 255, 257);
  auto const count = GENERATE(0, 1, 33, 255);
  int64_t const rows = 257;
  Tensor const x = tests::random(device, {rows, width}, dtype, 1);
  Tensor const few = tests::random(device, {count, width}, dtype, 2);
  auto const indices = some_places(count, rows);
  Tensor gathered = empty_like(few), target = clone(x);
  device.kernels().gather_rows(x, places_of(device, indices), 0, gathered);
  device.kernels().scatter_rows(few, places_of(device, indices), target);
  auto const all = tests::values(x), mine = tests::values(few);
  std::vector<double> want, scattered = all;
  for (int64_t r = 0; r < count; ++r) {
    int64_t const place = indices[size_t(r)];
    bool const inside = place >= 0 && place < rows;
    auto const row = inside ? row_of(all, place, width) : std::vector<double>(size_t(width), 0);
    want.insert(want.end(), row.begin(), row.end());
    auto const from = row_of(mine, r, width);
    if (inside) std::copy(from.begin(), from.end(), scattered.begin() + place * width);
  }
  CHECK(tests::values(gathered) == want);
  CHECK(tests::values(target) == scattered);
}

TEST_CASE("gather_rows: source without rows -> zeros", "[places]") {
  Device& device = tests::device();
  Tensor y = tests::tensor<float>(device, {2, 2}, {1, 2, 3, 4});
  device.kernels().gather_rows(Tensor(device, {0, 2}, Dtype::f32), places_of(device, {0, -1}), 0,
                               y);
  CHECK(tests::values(y) == std::vector<double>(4, 0));
}

TEST_CASE("scale_rows and accumulate_rows: every dtype and shape -> within rounding of plain loops",
          "[places]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  auto const shape = GENERATE(Shape{0, 5}, Shape{5, 0}, Shape{1, 1}, Shape{31, 32}, Shape{33, 31},
                              Shape{3, 257}, Shape{257, 1}, Shape{2, 3, 5}, Shape{255});
  Dtype const wide = accumulator(dtype);
  Tensor const x = tests::random(device, shape, dtype, 1),
               factors = tests::random(device, {shape[0]}, wide, 2);
  Tensor scaled = clone(x), sum = tests::random(device, shape, wide, 3);
  auto const in = tests::values(x), factor = tests::values(factors);
  std::vector<double> want_scaled = in, want_sum = tests::values(sum);
  size_t const width = shape[0] == 0 ? 0 : in.size() / size_t(shape[0]);
  for (size_t i = 0; i < in.size(); ++i) {
    want_scaled[i] *= 0.5 * factor[i / width];
    want_sum[i] += factor[i / width] * in[i];
  }
  device.kernels().scale_rows(0.5, factors, scaled);
  device.kernels().accumulate_rows(factors, x, sum);
  CHECK(tests::distance(tests::values(scaled), want_scaled) < tests::tolerance(dtype));
  CHECK(tests::distance(tests::values(sum), want_sum) < tests::f32_elementwise);
}
