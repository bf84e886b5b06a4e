#include <algorithm>
#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;
using tests::tensor;
using tests::values;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Best {
  Tensor scores, classes;

  Best(Device& device, int64_t rows, int64_t k, Dtype dtype)
      : scores(device, {rows, k}, dtype), classes(device, {rows, k}, Dtype::i64) {
    device.kernels().fill(-infinity, scores);
    device.kernels().fill(-1, classes);
  }
  void merge(Tensor const& z, int64_t first) {
    z.device().kernels().top_k(z, first, scores, classes);
  }
};

}  // namespace

TEST_CASE("top_k: chunks by hand -> best classes, the lower class first among equals", "[top_k]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  Best best(device, 2, 3, dtype);
  best.merge(tensor(device, {2, 2}, dtype, {1, 5, -1, -2}), 10);
  CHECK(values(best.scores) == std::vector<double>{5, 1, -infinity, -1, -2, -infinity});
  CHECK(values(best.classes) == std::vector<double>{11, 10, -1, 10, 11, -1});
  best.merge(tensor(device, {2, 3}, dtype, {5, 7, 1, -1, -1, -3}), 12);
  CHECK(values(best.scores) == std::vector<double>{7, 5, 5, -1, -1, -1});
  CHECK(values(best.classes) == std::vector<double>{13, 11, 12, 10, 12, 13});
  best.merge(tensor(device, {2, 1}, dtype, {5, -1}), 3);  // lower classes may come in a later chunk
  CHECK(values(best.scores) == std::vector<double>{7, 5, 5, -1, -1, -1});
  CHECK(values(best.classes) == std::vector<double>{13, 3, 11, 3, 10, 12});
  best.merge(Tensor(device, {2, 0}, dtype), 20);
  CHECK(values(best.classes) == std::vector<double>{13, 3, 11, 3, 10, 12});
}

TEST_CASE("top_k: one chunk or many -> same result as a sort", "[top_k]") {
  Device& device = tests::device();
  auto const classes = GENERATE(1, 31, 33, 257, 3000);
  auto const k = GENERATE(1, 5, 40);
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  // Values rounded to bf16 are often equal.
  Tensor const z = tests::as(tests::random(device, {3, classes}, Dtype::bf16, 1), dtype);
  Best whole(device, 3, k, dtype), parts(device, 3, k, dtype);
  whole.merge(z, 0);
  for (int64_t c = 0; c < classes; c += 100) {
    int64_t const n = std::min<int64_t>(100, classes - c);
    Tensor chunk(device, {3, n}, dtype);
    device.kernels().copy_columns(z, c, n, chunk, 0);
    parts.merge(chunk, c);
  }
  std::vector<double> scores, numbers;
  auto const all = values(z);
  for (int64_t r = 0; r < 3; ++r) {
    std::vector<std::pair<double, int64_t>> row;
    for (int64_t c = 0; c < classes; ++c)
      row.emplace_back(-all[static_cast<size_t>(r * classes + c)], c);
    std::sort(row.begin(), row.end());
    row.resize(static_cast<size_t>(k), {infinity, -1});
    for (auto const& [score, number] : row) {
      scores.push_back(-score);
      numbers.push_back(static_cast<double>(number));
    }
  }
  CHECK(values(whole.scores) == scores);
  CHECK(values(whole.classes) == numbers);
  CHECK(values(parts.scores) == scores);
  CHECK(values(parts.classes) == numbers);
}

TEST_CASE("top_k: NaN and -inf -> never selected", "[top_k]") {
  Device& device = tests::device();
  Best best(device, 1, 2, Dtype::f32);
  double const nan = std::numeric_limits<double>::quiet_NaN();
  best.merge(tensor<float>(device, {1, 4}, {nan, -infinity, 3, nan}), 0);
  CHECK(values(best.scores) == std::vector<double>{3, -infinity});
  CHECK(values(best.classes) == std::vector<double>{2, -1});
}
