// Gather and scatter of rows by index, and row scaling, on CUDA.
#include "tests/kernels/simulated.h"

using namespace core;
using namespace tests::kernels;
using tests::host_cuda::all_orders;
using tests::host_cuda::Under;

namespace {

/// Distinct indices of `count` rows among `rows`, and some out of range.
Tensor places_of(Device& device, int64_t count, int64_t rows) {
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < count; ++i) indices.push_back((i * 7 + 3) % rows);
  if (count > 3) indices[1] = -1, indices[2] = rows;
  return integers(device, indices);
}

Tensor placed(Tensor const& t, bool aligned) { return aligned ? clone(t) : unaligned(t); }

}  // namespace

TEST_CASE("CUDA gather_rows and scatter_rows: every size and dtype -> same as the CPU",
          "[kernels][places]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  int64_t const rows = 37;
  for (int64_t const width : {0, 1, 8, 31, 32, 33, 257})
    for (int64_t const count : {0, 1, 33})
      for (bool const aligned : {true, false}) {
        Tensor const x = placed(tests::random(gpu.device, {rows, width}, dtype, 1), aligned);
        Tensor const few = placed(tests::random(gpu.device, {count, width}, dtype, 2), aligned);
        Tensor const indices = places_of(gpu.device, count, rows);
        Tensor got = placed(few, aligned), want = clone(few);
        gpu.kernels.gather_rows(x, indices, 3, got);
        gpu.cpu.gather_rows(x, indices, 3, want);
        CHECK(equal(got, want));
        Tensor target = placed(x, aligned), expected = clone(x);
        gpu.kernels.scatter_rows(few, indices, target);
        gpu.cpu.scatter_rows(few, indices, expected);
        CHECK(equal(target, expected));
        gpu.device.check_guards();
      }
}

TEST_CASE("CUDA gather_rows and scatter_rows: as many rows as indices -> same as the CPU",
          "[kernels][places]") {
  Gpu gpu;
  Tensor const x = tests::random(gpu.device, {3, 4}, Dtype::f32, 1);
  Tensor const indices = integers(gpu.device, {2, 0, 1});
  Tensor there(gpu.device, {3, 4}, Dtype::f32), back = empty_like(there);
  gpu.kernels.gather_rows(x, indices, 0, there);
  gpu.kernels.scatter_rows(there, indices, back);
  CHECK(equal(back, x));
  CHECK(!equal(there, x));
}

TEST_CASE("CUDA gather_rows: source without rows -> zeros", "[kernels][places]") {
  Gpu gpu;
  Tensor y = tests::random(gpu.device, {2, 3}, Dtype::f32, 1);
  gpu.kernels.gather_rows(Tensor(gpu.device, {0, 3}, Dtype::f32), integers(gpu.device, {0, 1}), 0,
                          y);
  CHECK(tests::values(y) == std::vector<double>(6, 0));
}

TEST_CASE("CUDA scale_rows and accumulate_rows: every dtype -> within rounding of f64",
          "[kernels][places]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  auto const shape = GENERATE(Shape{0, 5}, Shape{5, 0}, Shape{1, 1}, Shape{31, 32}, Shape{33, 31},
                              Shape{3, 257}, Shape{255, 8}, Shape{2, 3, 8});
  Dtype const wide = accumulator(dtype);
  for (bool const aligned : {true, false}) {
    Tensor const x = placed(tests::random(gpu.device, shape, dtype, 1), aligned),
                 factors = tests::random(gpu.device, {shape[0]}, wide, 2);
    Tensor scaled = placed(x, aligned),
           sum = placed(tests::random(gpu.device, shape, wide, 3), aligned);
    Tensor exact = tests::as(x, Dtype::f64), exact_sum = tests::as(sum, Dtype::f64);
    Tensor const exact_factors = tests::as(factors, Dtype::f64), exact_x = clone(exact);
    gpu.cpu.scale_rows(0.5, exact_factors, exact);
    gpu.cpu.accumulate_rows(exact_factors, exact_x, exact_sum);
    gpu.kernels.scale_rows(0.5, factors, scaled);
    gpu.kernels.accumulate_rows(factors, x, sum);
    CHECK(tests::distance(scaled, exact) < tests::tolerance(dtype));
    CHECK(tests::distance(sum, exact_sum) < tests::f32_elementwise);
    gpu.device.check_guards();
  }
}
