#include "core/cpu/device.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;
using tests::values;

namespace {

using Values = std::vector<double>;

auto const no = Transpose::no, yes = Transpose::yes;

/// Shapes (m, k) times (k, n).
struct Sizes {
  int64_t m, k, n;
  Shape a(Transpose t) const { return t == no ? Shape{m, k} : Shape{k, m}; }
  Shape b(Transpose t) const { return t == no ? Shape{k, n} : Shape{n, k}; }
};

Shape any_rows() {
  return GENERATE(Shape{1, 257}, Shape{255, 1}, Shape{7, 11, 33, 31}, Shape{70000, 3});
}

Tensor row_sums(Tensor const& x) {
  Tensor sums(x.device(), {x.size(-1)}, accumulator(x.dtype()));
  x.device().kernels().sum_rows(x, sums);
  return sums;
}

}  // namespace

TEST_CASE("matmul: every combination of transposes by hand -> exact product", "[matmul]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f64, Dtype::f32, Dtype::bf16);
  if (!tests::can_multiply(device, dtype)) return;
  Tensor const a = tests::tensor(device, {2, 3}, dtype, {1, 2, 3, 4, 5, 6});
  Tensor const at = tests::tensor(device, {3, 2}, dtype, {1, 4, 2, 5, 3, 6});
  Tensor const b = tests::tensor(device, {3, 2}, dtype, {1, -1, 2, 0, 0, 3});
  Tensor const bt = tests::tensor(device, {2, 3}, dtype, {1, 2, 0, -1, 0, 3});
  Tensor c = tests::tensor(device, {2, 2}, dtype, {std::nan(""), 1, 1, 1});  // beta 0: c is not
                                                                             // read
  Kernels& kernels = device.kernels();
  Values const product{5, 8, 14, 14};
  kernels.matmul(a, no, b, no, 1, 0, c);
  CHECK(values(c) == product);
  kernels.matmul(at, yes, b, no, 1, 0, c);
  CHECK(values(c) == product);
  kernels.matmul(a, no, bt, yes, 1, 0, c);
  CHECK(values(c) == product);
  kernels.matmul(at, yes, bt, yes, 2, -1, c);
  CHECK(values(c) == product);
}

TEST_CASE("matmul: f32 and bf16 inputs -> within rounding of f64", "[matmul]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  if (!tests::can_multiply(device, dtype)) return;
  auto const out = GENERATE(Dtype::f32, Dtype::bf16);
  if (dtype == Dtype::f32 && out == Dtype::bf16) return;  // not supported: f32 inputs, bf16 result
  auto const ta = GENERATE(Transpose::no, Transpose::yes);
  auto const tb = GENERATE(Transpose::no, Transpose::yes);
  auto const s = GENERATE(Sizes{1, 1, 1}, Sizes{1, 33, 257}, Sizes{31, 1, 33}, Sizes{33, 257, 1},
                          Sizes{257, 255, 31}, Sizes{64, 32, 128});
  auto const [alpha, beta] = GENERATE(std::pair{1.0, 0.0}, std::pair{1.0, 1.0},
                                      std::pair{-0.5, 0.0}, std::pair{3.0, 0.25});
  CAPTURE(dtype, out, ta, tb, s.m, s.k, s.n, alpha, beta);
  Tensor const a = tests::random(device, s.a(ta), dtype, 1);
  Tensor const b = tests::random(device, s.b(tb), dtype, 2);
  Tensor c = tests::random(device, {s.m, s.n}, out, 3), exact = tests::as(c, Dtype::f64);
  Tensor again = clone(c);
  Kernels& kernels = device.kernels();
  kernels.matmul(a, ta, b, tb, alpha, beta, c);
  kernels.matmul(tests::as(a, Dtype::f64), ta, tests::as(b, Dtype::f64), tb, alpha, beta, exact);
  CHECK(tests::distance(c, exact) < tests::tolerance(out));
  kernels.matmul(a, ta, b, tb, alpha, beta, again);
  CHECK(values(again) == values(c));
}

TEST_CASE("matmul: some columns of a matrix -> same as of their copy", "[matmul]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f64, Dtype::f32, Dtype::bf16);
  if (!tests::can_multiply(device, dtype)) return;
  auto const ta = GENERATE(Transpose::no, Transpose::yes);
  auto const [begin, count] = GENERATE(std::pair{0, 33}, std::pair{64, 64}, std::pair{7, 250});
  CAPTURE(dtype, ta, begin, count);
  Tensor const wide = tests::random(device, {40, 257}, dtype, 1);
  Tensor copy(device, {40, count}, dtype);
  Kernels& kernels = device.kernels();
  kernels.copy_columns(wide, begin, count, copy, 0);
  int64_t const m = ta == no ? 40 : count, k = ta == no ? count : 40;
  Tensor const b = tests::random(device, {k, 31}, dtype, 2);
  Tensor c = tests::random(device, {m, 31}, accumulator(dtype), 3), exact = clone(c);
  kernels.matmul(Columns(wide, begin, count), ta, b, no, 1, 1, c);
  kernels.matmul(copy, ta, b, no, 1, 1, exact);
  CHECK(tests::distance(c, exact) < (dtype == Dtype::f64 ? 1e-14 : tests::f32_reduction));
}

TEST_CASE("matmul: no columns of a matrix -> beta times c; columns out of range -> throws",
          "[matmul]") {
  Device& device = tests::device();
  Tensor const wide = tests::random(device, {2, 5}, Dtype::f32, 1),
               none(device, {0, 3}, Dtype::f32);
  Tensor c = tests::tensor(device, {2, 3}, Dtype::f32, {1, 2, 3, 4, 5, 6});
  device.kernels().matmul(Columns(wide, 2, 0), no, none, no, 1, 2, c);
  CHECK(values(c) == Values{2, 4, 6, 8, 10, 12});
  CHECK_THROWS_WITH(Columns(wide, 2, 4), Catch::Contains("columns [2, 6) of a matrix (2, 5)"));
}

TEST_CASE("matmul: inner dimension 0 -> beta times c; no rows -> empty result", "[matmul]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f64, Dtype::f32, Dtype::bf16);
  Kernels& kernels = device.kernels();
  Tensor const tall(device, {2, 0}, dtype), wide(device, {0, 3}, dtype);
  Tensor c = tests::tensor(device, {2, 3}, dtype, {1, 2, 3, 4, 5, 6});
  kernels.matmul(tall, no, wide, no, 1, 0.5, c);
  CHECK(values(c) == Values{0.5, 1, 1.5, 2, 2.5, 3});
  kernels.fill(std::nan(""), c);
  kernels.matmul(tall, no, wide, no, 1, 0, c);
  CHECK(values(c) == Values(6, 0.0));
  Tensor none(device, {0, 3}, dtype);
  kernels.matmul(Tensor(device, {0, 2}, dtype), no, tests::random(device, {2, 3}, dtype, 1), no, 1,
                 0, none);
  CHECK(none.count() == 0);
}

TEST_CASE("add_bias and sum_rows: two rows by hand -> exact sums", "[matmul]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f64, Dtype::f32, Dtype::bf16);
  Tensor y = tests::tensor(device, {2, 3}, dtype, {1, 2, 3, 4, 5, 6});
  Tensor out = tests::tensor(device, {3}, accumulator(dtype), {9, 9, 9});
  device.kernels().sum_rows(y, out);
  CHECK(values(out) == Values{5, 7, 9});
  device.kernels().add_bias(out, y);
  CHECK(values(y) == Values{6, 9, 12, 9, 12, 15});
  device.kernels().sum_rows(Tensor(device, {0, 4, 3}, dtype), out);
  CHECK(values(out) == Values{0, 0, 0});
}

TEST_CASE("sum_rows: f32 and bf16 inputs -> within rounding of f64", "[matmul]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  Tensor const x = tests::random(device, any_rows(), dtype, 1);
  CHECK(tests::distance(row_sums(x), row_sums(tests::as(x, Dtype::f64))) < tests::f32_reduction);
}

TEST_CASE("sum_rows: one and three CPU threads -> same bits", "[matmul][cpu]") {
  cpu::Cpu one(1), three(3);
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  auto const shape = any_rows();
  auto const run = [&](Device& device) {
    return values(row_sums(tests::random(device, shape, dtype, 1)));
  };
  CHECK(run(one) == run(three));
}

TEST_CASE("row_products: by hand, without rows or columns, with NaN -> exact products, 0, NaN",
          "[matmul]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f64, Dtype::f32, Dtype::bf16);
  auto const products = [&](Shape const& shape, Values const& x, Values const& y) {
    Tensor out = tests::tensor(device, {shape[0]}, accumulator(dtype),
                               Values(static_cast<size_t>(shape[0]), 7));  // overwritten by the
                                                                           // call
    device.kernels().row_products(tests::tensor(device, shape, dtype, x),
                                  tests::tensor(device, shape, dtype, y), out);
    return values(out);
  };
  CHECK(products({2, 3}, {1, 2, 3, -1, 0, 4}, {4, 5, 6, 2, 9, 0.5}) == Values{32, 0});
  CHECK(products({2, 0}, {}, {}) == Values{0, 0});
  CHECK(products({0, 3}, {}, {}).empty());
  CHECK(std::isnan(products({1, 2}, {std::nan(""), 1}, {0, 1})[0]));
}

TEST_CASE("row_products: f32 and bf16 inputs -> within rounding of f64", "[matmul]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  for (Shape const& shape : {Shape{1, 1}, Shape{33, 31}, Shape{257, 33}, Shape{3, 4097}}) {
    Tensor const x = tests::random(device, shape, dtype, 1),
                 y = tests::random(device, shape, dtype, 2);
    Tensor out(device, {shape[0]}, Dtype::f32), exact(device, {shape[0]}, Dtype::f64);
    device.kernels().row_products(x, y, out);
    device.kernels().row_products(tests::as(x, Dtype::f64), tests::as(y, Dtype::f64), exact);
    CHECK(tests::distance(out, exact) < tests::f32_reduction);
  }
}
