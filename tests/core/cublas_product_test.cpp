#include "core/cuda/cublas_product.h"
#include "core/cpu/device.h"
#include "tests/support/reference.h"

using namespace core;

namespace {

/// The product that cuBLAS documents: all matrices are column-major.
std::vector<double> columns_product(cuda::Product const& p, std::vector<double> const& first,
                                    std::vector<double> const& second) {
  auto const at = [](cuda::Product::Matrix const& m, std::vector<double> const& values,
                     Transpose transpose, int64_t row, int64_t column) {
    if (transpose == Transpose::yes) std::swap(row, column);
    REQUIRE(row < m.rows);
    REQUIRE(column < m.columns);
    return values[static_cast<size_t>(row + column * m.leading)];
  };
  bool const plain = p.transpose_first == Transpose::no;
  int64_t const inner = plain ? p.first.columns : p.first.rows;
  std::vector<double> result(static_cast<size_t>(p.result.rows * p.result.columns));
  for (int64_t i = 0; i < p.result.rows; ++i)
    for (int64_t j = 0; j < p.result.columns; ++j)
      for (int64_t k = 0; k < inner; ++k)
        result[static_cast<size_t>(i + j * p.result.rows)] +=
            at(p.first, first, p.transpose_first, i, k) *
            at(p.second, second, p.transpose_second, k, j);
  return result;
}

}  // namespace

TEST_CASE("cublas: column-major arguments -> the row-major product", "[cuda]") {
  cpu::Cpu device;
  auto const ta = GENERATE(Transpose::no, Transpose::yes);
  auto const tb = GENERATE(Transpose::no, Transpose::yes);
  auto const [m, k, n] = GENERATE(std::array<int64_t, 3>{1, 1, 1}, std::array<int64_t, 3>{2, 3, 5},
                                  std::array<int64_t, 3>{7, 1, 4});
  CAPTURE(ta, tb, m, k, n);
  Shape const sa = ta == Transpose::no ? Shape{m, k} : Shape{k, m};
  Shape const sb = tb == Transpose::no ? Shape{k, n} : Shape{n, k};
  Tensor const a = tests::random(device, sa, Dtype::f64, 1);
  Tensor const b = tests::random(device, sb, Dtype::f64, 2);
  Tensor c(device, {m, n}, Dtype::f64);
  device.kernels().matmul(a, ta, b, tb, 1, 0, c);
  Tensor const wide = tests::random(device, {sa[0], sa[1] + 3}, Dtype::f64, 3);
  auto const asked = [&](int64_t pitch, Tensor const& left) {
    auto const product = cuda::product_of(sa, pitch, ta, sb, tb, c.shape());
    return columns_product(product, tests::values(b), tests::values(left));
  };
  auto const dense = asked(sa[1], a), of_columns = asked(sa[1] + 3, wide);
  // Sums of three products, in f64.
  CHECK(tests::distance(dense, tests::values(c)) < 1e-14);
  device.kernels().matmul(Columns(wide, 0, sa[1]), ta, b, tb, 1, 0, c);
  CHECK(tests::distance(of_columns, tests::values(c)) < 1e-14);
}

TEST_CASE("cublas: a dimension above 2^31 - 1 -> error with both shapes", "[cuda]") {
  int64_t const most = 2147483647;
  auto const no = Transpose::no;
  CHECK(cuda::product_of({1, 2}, 2, no, {2, most}, no, {1, most}).result.rows == most);
  CHECK_THROWS_WITH(cuda::product_of({1, 2}, 2, no, {2, most + 1}, no, {1, most + 1}),
                    Catch::Contains("matmul: a size of (1, 2) times (2, 2147483648)"));
}
