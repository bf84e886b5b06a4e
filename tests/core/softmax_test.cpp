#include "core/cpu/device.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;
using tests::tensor;
using tests::values;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

Tensor labels_of(Device& device, std::vector<int64_t> const& labels) {
  Tensor t(device, {static_cast<int64_t>(labels.size())}, Dtype::i64);
  device.upload(labels.data(), t);
  return t;
}

/// Columns [begin, end) of a matrix.
Tensor columns(Tensor const& z, int64_t begin, int64_t end) {
  Tensor part(z.device(), {z.size(0), end - begin}, z.dtype());
  z.device().kernels().copy_columns(z, begin, end - begin, part, 0);
  return part;
}

/// Statistics of the classes [begin, end) of all logits z, in one chunk each between the cuts.
Tensor statistics(Tensor const& z, Tensor const& labels, std::vector<int64_t> const& cuts) {
  Tensor stats(z.device(), {z.size(0), 3}, z.dtype());
  z.device().kernels().softmax_begin(stats);
  for (size_t i = 0; i + 1 < cuts.size(); ++i) {
    Tensor chunk = columns(z, cuts[i], cuts[i + 1]);
    z.device().kernels().softmax_statistics({}, labels, cuts[i], chunk, stats);
  }
  return stats;
}

struct Loss {
  Tensor lse, loss;
};

Loss merged(std::vector<Tensor> const& parts, Tensor const& labels) {
  Device& device = labels.device();
  int64_t const rows = labels.count(), ranks = static_cast<int64_t>(parts.size());
  Tensor all(device, {ranks, rows, 3}, parts[0].dtype());
  for (int64_t p = 0; p < ranks; ++p) {
    Tensor part = all.rows(p, p + 1);
    device.copy(parts[static_cast<size_t>(p)], part);
  }
  Loss result{Tensor(device, {rows}, all.dtype()), Tensor(device, {rows}, all.dtype())};
  device.kernels().softmax_merge(all, labels, result.lse, result.loss);
  return result;
}

Tensor gradient(Tensor const& z, Tensor const& lse, Tensor const& labels, int64_t first,
                double factor, Dtype dtype) {
  Tensor g(z.device(), z.shape(), dtype);
  z.device().kernels().softmax_gradient(z, lse, labels, first, factor, g);
  return g;
}

/// Row sums of exp, and the loss, as the definition says; in f64.
double plain_lse(std::vector<double> const& z, size_t begin, size_t count) {
  double sum = 0;
  for (size_t c = begin; c < begin + count; ++c) sum += std::exp(z[c]);
  return std::log(sum);
}

/// A few labels, one of them negative and the last in the last class.
Tensor some_labels(Device& device, int64_t rows, int64_t classes) {
  std::vector<int64_t> labels;
  for (int64_t r = 0; r < rows; ++r)
    labels.push_back(r == 1 ? -1 : (classes - 1 - 7 * r) % classes);
  for (int64_t& label : labels) label = label < -1 ? label + classes : label;
  return labels_of(device, labels);
}

}  // namespace

TEST_CASE("softmax: two rows by hand", "[softmax]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  double const log2 = std::log(2.0);
  // exp: 1, 2, 1 and 4, 2, 2. The bias takes the second row's first logit from 0 to log 4.
  Tensor z = tensor(device, {2, 3}, dtype, {-2 * log2, log2, 0, 0, log2, log2});
  Tensor const bias = tensor(device, {3}, dtype, {2 * log2, 0, 0});
  Tensor const labels = labels_of(device, {11, -1});
  Tensor stats(device, {2, 3}, dtype);
  device.kernels().softmax_begin(stats);
  device.kernels().softmax_statistics(bias, labels, 10, z, stats);
  auto const close = [&](Tensor const& t, std::vector<double> const& exact) {
    return tests::distance(values(t), exact) < tests::f32_elementwise;
  };
  CHECK(close(z, {0, log2, 0, 2 * log2, log2, log2}));
  CHECK(close(stats, {log2, 2, log2, 2 * log2, 2, 0}));
  auto const [lse, loss] = merged({stats}, labels);
  CHECK(close(lse, {2 * log2, 3 * log2}));
  CHECK(close(loss, {log2, 0}));
  CHECK(close(gradient(z, lse, labels, 10, 8, dtype), {2, -4, 2, 0, 0, 0}));
  CHECK(close(gradient(z, lse, labels, 12, 8, dtype), {2, 4, 2, 0, 0, 0}));  // no target here
}

TEST_CASE("softmax: chunks and shards of any size give what the whole gives", "[softmax]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  auto const classes = GENERATE(int64_t{1}, int64_t{31}, int64_t{33}, int64_t{257}, int64_t{9000});
  Tensor const z = tests::random(device, {5, classes}, dtype, 1);
  Tensor const labels = some_labels(device, 5, classes);
  auto const exact = values(z), targets = values(labels);

  auto const [lse, loss] = merged({statistics(z, labels, {0, classes})}, labels);
  std::vector<double> expected, expected_loss;
  for (size_t r = 0; r < 5; ++r) {
    auto const n = static_cast<size_t>(classes);
    double const label = targets[r];
    expected.push_back(plain_lse(exact, r * n, n));
    expected_loss.push_back(
        label < 0 ? 0 : expected.back() - exact[r * n + static_cast<size_t>(label)]);
  }
  CHECK(tests::distance(values(lse), expected) < tests::f32_elementwise);
  // With one class the loss is what rounding leaves of 0.
  if (classes > 1) CHECK(tests::distance(values(loss), expected_loss) < tests::f32_elementwise);

  int64_t const a = classes / 3, b = classes / 2;
  auto const chunked = merged({statistics(z, labels, {0, a, a, b, classes})}, labels);
  CHECK(tests::distance(chunked.lse, lse) < tests::f32_elementwise);
  auto const sharded = merged({statistics(z, labels, {0, a}), statistics(z, labels, {a, a}),
                               statistics(z, labels, {a, b}), statistics(z, labels, {b, classes})},
                              labels);
  CHECK(tests::distance(sharded.lse, lse) < tests::f32_elementwise);
  if (classes > 1) CHECK(tests::distance(sharded.loss, loss) < tests::f32_elementwise);
}

TEST_CASE("softmax: the gradient is that of the loss", "[softmax]") {
  Device& device = tests::device();
  int64_t const classes = 33;
  Tensor const z = tests::random(device, {3, classes}, Dtype::f64, 1);
  Tensor const labels = some_labels(device, 3, classes);
  auto const total = [&](std::vector<double> const& point) {
    Tensor const at = tensor<double>(device, {3, classes}, point);
    double sum = 0;
    for (double const loss : values(merged({statistics(at, labels, {0, classes})}, labels).loss))
      sum += loss;
    return sum;
  };
  Tensor const lse = merged({statistics(z, labels, {0, classes})}, labels).lse;
  std::vector<double> point = values(z), slope;
  for (double& value : point) {
    double const kept = std::exchange(value, value + 1e-5), up = total(point);
    value = kept - 1e-5;
    slope.push_back((up - total(point)) / 2e-5);
    value = kept;
  }
  CHECK(tests::distance(values(gradient(z, lse, labels, 0, 1, Dtype::f64)), slope) < 1e-8);
}

TEST_CASE("softmax: f32 and bf16 gradients against f64", "[softmax]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  auto const classes =
      GENERATE(int64_t{0}, int64_t{1}, int64_t{31}, int64_t{33}, int64_t{257}, int64_t{5000});
  Tensor const z = tests::random(device, {5, classes}, Dtype::f32, 1);
  Tensor const lse = tests::tensor<float>(device, {5}, {3, 4, 5, 6, 7});
  Tensor const labels = labels_of(device, {100, -1, 100, 130, 99});
  Tensor const g = gradient(z, lse, labels, 100, 0.125, dtype);
  Tensor const exact = gradient(tests::as(z, Dtype::f64), tests::as(lse, Dtype::f64), labels, 100,
                                0.125, Dtype::f64);
  CHECK(tests::distance(g, exact) < (dtype == Dtype::bf16 ? 4e-3 : tests::f32_elementwise));
}

TEST_CASE("softmax: empty shards and rows of -inf", "[softmax]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  Tensor const labels = labels_of(device, {0, 1});
  Tensor const none = statistics(Tensor(device, {2, 0}, dtype), labels, {0, 0});
  CHECK(values(none) == std::vector<double>{-infinity, 0, 0, -infinity, 0, 0});

  Tensor const z = tensor(device, {2, 2}, dtype, {-infinity, -infinity, 1, -infinity});
  Tensor const stats = statistics(z, labels, {0, 1, 2});
  CHECK(values(stats) == std::vector<double>{-infinity, 0, -infinity, 1, 1, -infinity});
  // A row without any finite logit on one shard is what the other shards say it is.
  Tensor const other = tensor(device, {2, 3}, dtype, {2, 3, 0, -infinity, 0, 0});
  auto const [lse, loss] = merged({none, stats, none, other}, labels);
  CHECK(values(lse)[0] == Approx(2 + std::log(3.0)));
  CHECK(values(lse)[1] == Approx(1));
  CHECK(values(merged({none, none}, labels).lse) == std::vector<double>{-infinity, -infinity});
}

TEST_CASE("softmax: logits far from zero do not overflow", "[softmax]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  Tensor const labels = labels_of(device, {0, 2});
  Tensor const z = tensor(device, {2, 3}, dtype, {1000, 999, -1000, -1000, -1001, -3000});
  auto const [lse, loss] = merged({statistics(z, labels, {0, 2, 3})}, labels);
  double const gap = std::log(1 + std::exp(-1.0));
  CHECK(values(lse)[0] == Approx(1000 + gap).epsilon(1e-7));
  CHECK(values(lse)[1] == Approx(-1000 + gap).epsilon(1e-7));
  CHECK(values(loss)[1] == Approx(2000 + gap).epsilon(1e-7));
}

TEST_CASE("softmax: what is not finite shows in the loss", "[softmax]") {
  Device& device = tests::device();
  auto const bad = GENERATE(as<double>{}, infinity, std::nan(""));
  Tensor const labels = labels_of(device, {0});
  for (size_t const place : {0u, 20u, 40u}) {
    std::vector<double> logits(41, 0.5);
    logits[place] = bad;
    Tensor const z = tensor<float>(device, {1, 41}, logits);
    CHECK_FALSE(std::isfinite(tests::value(merged({statistics(z, labels, {0, 41})}, labels).lse)));
    CHECK_FALSE(
        std::isfinite(tests::value(merged({statistics(z, labels, {0, 20, 41})}, labels).lse)));
  }
}

TEST_CASE("softmax: a sum over 300000 classes is as exact as one over a few", "[softmax]") {
  Device& device = tests::device();
  constexpr int64_t classes = 300000;
  Tensor z(device, {1, classes}, Dtype::f32);
  device.kernels().fill(-0.1, z);  // all alike: one f32 sum would drift
  Tensor const labels = labels_of(device, {5});
  auto const whole = values(statistics(z, labels, {0, classes}));
  CHECK(std::abs(whole[1] / classes - 1) < tests::f32_elementwise);
  std::vector<int64_t> cuts;
  for (int64_t c = 0; c < classes; c += 1000) cuts.push_back(c);
  cuts.push_back(classes);
  CHECK(std::abs(values(statistics(z, labels, cuts))[1] / classes - 1) < tests::f32_reduction);
}

TEST_CASE("softmax: one thread and three give the same bits", "[softmax][cpu]") {
  cpu::Cpu one(1), three(3);
  auto const run = [](Device& device) {
    Tensor const z = tests::random(device, {9, 20001}, Dtype::f32, 1);
    return values(statistics(z, some_labels(device, 9, 20001), {0, 15000, 20001}));
  };
  CHECK(run(one) == run(three));
}
