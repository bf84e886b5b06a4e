#include "tests/kernels/simulated.h"
#include "tests/kernels/twins.h"

using namespace core;
using namespace tests::kernels;
using tests::values;
using tests::host_cuda::all_orders;
using tests::host_cuda::Under;

TEST_CASE("CUDA copy_columns: a range of columns -> same as the CPU; other columns unchanged",
          "[kernels][matrix]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const columns = GENERATE(int64_t{0}, int64_t{16}, from_range(odd_sizes));
  auto const rows = GENERATE(int64_t{0}, int64_t{3});
  auto const from = GENERATE(int64_t{0}, int64_t{4}, int64_t{7});
  auto const dtype =
      GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16, Dtype::i32, Dtype::i64, Dtype::u8);
  Tensor x(gpu.device, {rows, columns + 8}, dtype), fast(gpu.device, {rows, columns + 16}, dtype);
  auto const number = [](Tensor& t, unsigned seed) {
    for (size_t i = 0; i < t.bytes(); ++i) t.raw()[i] = std::byte((i * 131 + seed) % 63);
  };
  number(x, 1);
  number(fast, 2);
  Tensor exact = clone(fast);
  gpu.kernels.copy_columns(x, from, columns, fast, 8);
  gpu.cpu.copy_columns(x, from, columns, exact, 8);
  CHECK(std::equal(fast.raw(), fast.raw() + fast.bytes(), exact.raw()));
}

TEST_CASE("CUDA matmul: inner dimension 0 -> beta times c; otherwise -> forwarded to the library",
          "[kernels][matrix]") {
  Gpu gpu;
  auto const no = Transpose::no;
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  auto const product = [&](Shape const& a, Shape const& b, double beta) {
    Tensor c = tests::tensor(gpu.device, {2, 2}, dtype, {1, 2, 3, 4});
    Tensor left(gpu.device, a, dtype), right(gpu.device, b, dtype);
    gpu.kernels.fill(2, left);
    gpu.kernels.fill(3, right);
    gpu.kernels.matmul(left, no, right, no, 1, beta, c);
    return values(c);
  };
  CHECK(product({2, 0}, {0, 2}, 0) == std::vector<double>{0, 0, 0, 0});
  CHECK(product({2, 0}, {0, 2}, 3) == std::vector<double>{3, 6, 9, 12});
  if (tests::can_multiply(gpu.device, dtype))
    CHECK(product({2, 1}, {1, 2}, 1) == std::vector<double>{7, 8, 9, 10});
  Tensor const a(gpu.device, {0, 3}, dtype), b(gpu.device, {3, 2}, dtype);
  Tensor none(gpu.device, {0, 2}, dtype);
  gpu.kernels.matmul(a, no, b, no, 1, 0, none);
}

TEST_CASE("CUDA row_products: every dtype -> within rounding of the CPU in f64",
          "[kernels][matrix]") {
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  auto const placed = GENERATE(Placed::aligned, Placed::unaligned);
  for_shapes([&](Shape const& shape) {
    Pair pair(placed);
    auto const x = pair.random(shape, dtype, 1), y = pair.random(shape, dtype, 2);
    auto out = pair.results({shape[0]}, accumulator(dtype));
    pair.run(
        [&](Kernels& kernels, auto side) { kernels.row_products(x.*side, y.*side, out.*side); });
    CHECK(gap(out) < (dtype == Dtype::f64 ? 1e-12 : tests::f32_reduction));
  });
}

TEST_CASE("CUDA row_products: any barrier removed -> wrong result in some order",
          "[kernels][matrix]") {
  Gpu gpu;
  auto const right = [&](unsigned run) {
    Tensor const x = tests::random(gpu.device, {3, 5000}, Dtype::f32, 2 * run + 1),
                 y = tests::random(gpu.device, {3, 5000}, Dtype::f32, 2 * run + 2);
    Tensor fast(gpu.device, {3}, Dtype::f32), exact(gpu.device, {3}, Dtype::f64);
    gpu.kernels.row_products(x, y, fast);
    gpu.cpu.row_products(tests::as(x, Dtype::f64), tests::as(y, Dtype::f64), exact);
    return tests::distance(fast, exact) < tests::f32_reduction;
  };
  CHECK(tests::host_cuda::unnoticed_barriers(right).empty());
}
