#include "tests/kernels/simulated.h"

using namespace core;
using namespace tests::kernels;
using tests::host_cuda::all_orders;
using tests::host_cuda::Under;

namespace {

bool close(Tensor const& a, Tensor const& b) {
  return tests::distance(a, b) < tests::f32_elementwise;
}

/// Norms around 20, some of them beyond the clipping bounds.
bool margins_agree(Gpu& gpu, int64_t rows, Dtype dtype, unsigned seed) {
  auto norms = tests::values(tests::random(gpu.device, {rows}, Dtype::f64, seed));
  for (double& norm : norms) norm = std::abs(20 + 50 * norm);
  auto const run = [&](Kernels& k, Dtype in) {
    Tensor moments = tests::tensor(gpu.device, {2}, in, {20, 100}),
           margins(gpu.device, {rows, 3}, in);
    Tensor const rounded = tests::as(tests::tensor(gpu.device, {rows}, dtype, norms), in);
    k.adaptive_margins(0.4, 0.333, 0.3, rounded, moments, margins);
    return std::pair{moments, margins};
  };
  auto const fast = run(gpu.kernels, dtype), exact = run(gpu.cpu, Dtype::f64);
  return close(fast.first, exact.first) && close(fast.second, exact.second);
}

bool curriculum_agrees(Gpu& gpu, int64_t rows, Dtype dtype, unsigned seed) {
  auto cosines = tests::values(tests::random(gpu.device, {rows}, Dtype::f64, seed));
  for (double& c : cosines) c = std::tanh(c);
  std::vector<int64_t> numbers;
  for (int64_t r = 0; r < rows; ++r) numbers.push_back(r % 5 == 1 ? -1 : r);
  Tensor const labels = integers(gpu.device, numbers);
  auto const run = [&](Kernels& k, Dtype in) {
    Tensor hardness = tests::tensor(gpu.device, {1}, in, {0.25}),
           thresholds(gpu.device, {rows}, in);
    Tensor const rounded = tests::as(tests::tensor(gpu.device, {rows}, dtype, cosines), in);
    k.curricularface_update(0.5, 0.3, labels, rounded, hardness, thresholds);
    return std::pair{hardness, thresholds};
  };
  auto const fast = run(gpu.kernels, dtype), exact = run(gpu.cpu, Dtype::f64);
  return close(fast.first, exact.first) && close(fast.second, exact.second);
}

}  // namespace

TEST_CASE("CUDA adaptive_margins and curricularface_update: every size -> within rounding of f64",
          "[kernels][margin]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  for (int64_t const rows : {0, 1, 2, 33, 255, 257, 1025}) {
    CAPTURE(rows);
    CHECK(margins_agree(gpu, rows, dtype, 1));
    CHECK(curriculum_agrees(gpu, rows, dtype, 2));
  }
}

TEST_CASE("CUDA adaptive_margins and curricularface_update: NaN in the batch -> state unchanged",
          "[kernels][margin]") {
  Gpu gpu;
  auto const bad = tests::tensor(gpu.device, {2}, Dtype::f32, {0.5, std::nan("")});
  Tensor moments = tests::tensor(gpu.device, {2}, Dtype::f32, {20, 100}),
         hardness = tests::tensor(gpu.device, {1}, Dtype::f32, {0.25}),
         margins(gpu.device, {2, 3}, Dtype::f32), thresholds(gpu.device, {2}, Dtype::f32);
  gpu.kernels.adaptive_margins(0.4, 0.333, 0.3, bad, moments, margins);
  gpu.kernels.curricularface_update(0.5, 0.3, integers(gpu.device, {1, 2}), bad, hardness,
                                    thresholds);
  CHECK(tests::values(moments) == std::vector<double>{20, 100});
  CHECK(tests::value(hardness) == 0.25);
}

TEST_CASE("CUDA adaptive_margins and curricularface_update: any barrier removed -> wrong result",
          "[kernels][margin]") {
  Gpu gpu;
  CHECK(tests::host_cuda::unnoticed_barriers([&](unsigned run) {
          return margins_agree(gpu, 257, Dtype::f32, run + 1);
        }).empty());
  CHECK(tests::host_cuda::unnoticed_barriers([&](unsigned run) {
          return curriculum_agrees(gpu, 257, Dtype::f32, run + 1);
        }).empty());
}
