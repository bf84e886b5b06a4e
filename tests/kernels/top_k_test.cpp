#include "tests/kernels/simulated.h"

using namespace core;
using namespace tests::kernels;
using tests::host_cuda::all_orders;
using tests::host_cuda::Under;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// The best k of several chunks, the first of which begins at class 10.
struct Best {
  Tensor scores, classes;

  Best(Kernels& kernels, std::vector<Tensor> const& chunks, int64_t k)
      : scores(chunks[0].device(), {chunks[0].size(0), k}, chunks[0].dtype()),
        classes(chunks[0].device(), scores.shape(), Dtype::i64) {
    kernels.fill(-infinity, scores);
    kernels.fill(-1, classes);
    int64_t first = 10;
    for (Tensor const& z : chunks) {
      kernels.top_k(z, first, scores, classes);
      first += z.size(1);
    }
  }
  bool operator==(Best const& other) const {
    return equal(scores, other.scores) && equal(classes, other.classes);
  }
};

/// Values rounded to bf16 are often equal.
Tensor ties(Device& device, int64_t rows, int64_t classes, Dtype dtype, unsigned seed) {
  return tests::as(tests::random(device, {rows, classes}, Dtype::bf16, seed), dtype);
}

}  // namespace

TEST_CASE("CUDA top_k: ties -> the CPU's classes, the lower class first", "[kernels][top_k]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  auto const classes = GENERATE(from_range(odd_sizes));
  auto const k = GENERATE(int64_t{1}, int64_t{5}, int64_t{40});
  std::vector<Tensor> const chunks{ties(gpu.device, 3, classes, dtype, 1),
                                   Tensor(gpu.device, {3, 0}, dtype),
                                   unaligned(ties(gpu.device, 3, 33, dtype, 2))};
  CHECK(Best(gpu.kernels, chunks, k) == Best(gpu.cpu, chunks, k));
}

TEST_CASE("CUDA top_k: lower classes in a later chunk -> the CPU's classes", "[kernels][top_k]") {
  Gpu gpu;
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  Tensor const z = tests::tensor(gpu.device, {1, 3}, dtype, {5, 7, 5});
  Best best(gpu.kernels, {z}, 3);
  gpu.kernels.top_k(z, 0, best.scores, best.classes);
  CHECK(tests::values(best.scores) == std::vector<double>{7, 7, 5});
  CHECK(tests::values(best.classes) == std::vector<double>{1, 11, 0});
}

TEST_CASE("CUDA top_k: NaN and -inf -> never selected; inf -> selected", "[kernels][top_k]") {
  Gpu gpu;
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  double const nan = std::nan("");
  std::vector<Tensor> const chunks{
      tests::tensor(gpu.device, {2, 4}, dtype, {nan, -infinity, 3, nan, nan, nan, nan, nan}),
      tests::tensor(gpu.device, {2, 2}, dtype, {infinity, nan, -infinity, -infinity})};
  Best const best(gpu.kernels, chunks, 2);
  CHECK(tests::values(best.scores) == std::vector<double>{infinity, 3, -infinity, -infinity});
  CHECK(tests::values(best.classes) == std::vector<double>{14, 12, -1, -1});
}

TEST_CASE("CUDA top_k: no rows, or k of 0 -> empty result", "[kernels][top_k]") {
  Gpu gpu;
  Tensor const z = tests::random(gpu.device, {2, 5}, Dtype::f32, 1);
  CHECK(Best(gpu.kernels, {z}, 0) == Best(gpu.cpu, {z}, 0));
  Tensor const none(gpu.device, {0, 5}, Dtype::f32);
  CHECK(Best(gpu.kernels, {none}, 3) == Best(gpu.cpu, {none}, 3));
}

TEST_CASE("CUDA top_k: any barrier removed -> wrong result in some order", "[kernels][top_k]") {
  Gpu gpu;
  auto const right = [&](unsigned run) {
    std::vector<Tensor> const chunks{ties(gpu.device, 3, 700, Dtype::f32, run + 1)};
    return Best(gpu.kernels, chunks, 7) == Best(gpu.cpu, chunks, 7);
  };
  CHECK(tests::host_cuda::unnoticed_barriers(right).empty());
}
