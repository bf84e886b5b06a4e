#include "core/cpu/device.h"
#include "tests/core/softmax_passes.h"
#include "tests/support/device.h"

using namespace core;
using namespace tests::softmax;
using tests::tensor;
using tests::values;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("softmax: two rows by hand -> statistics, loss and gradient", "[softmax]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  double const log2 = std::log(2.0);
  // exp: 1, 2, 1 and 4, 2, 2. The bias raises the second row's first logit from 0 to log 4.
  Case c{.z = tensor(device, {2, 3}, dtype, {-2 * log2, log2, 0, 0, log2, log2}),
         .labels = integers(device, {11, -1}),
         .chunk = {10, tensor(device, {3}, dtype, {2 * log2, 0, 0}), {}}};
  Tensor const stats = whole(c);
  auto const close = [&](Tensor const& t, std::vector<double> const& exact) {
    return tests::distance(values(t), exact) < tests::f32_elementwise;
  };
  CHECK(close(stats, {log2, 2, log2, 0, 1, 1, 2 * log2, 2, 0, 0, 0, 0}));
  auto const [rows, loss, factor, sums] = merged({stats}, c.labels, c.loss);
  CHECK(close(rows, {2 * log2, 1, 0, -0.5, 3 * log2, 0, 0, 0}));
  CHECK(close(loss, {log2}));
  CHECK(close(factor, {1}));
  CHECK(close(sums, {log2, 1}));
  CHECK(close(gradient(c, rows, dtype), {0.25, -0.5, 0.25, 0, 0, 0}));
  c.chunk.first = 12;  // no target in this chunk
  CHECK(close(gradient(c, rows, dtype), {0.25, 0.5, 0.25, 0, 0, 0}));
}

TEST_CASE("softmax: smoothing, class weights and z-loss by hand -> loss of PyTorch's cross_entropy",
          "[softmax]") {
  Device& device = tests::device();
  double const log2 = std::log(2.0);
  // Logits log 1, log 2, log 1: lse = log 4, so lse - z = (2, 1, 2) log 2. Weights 1, 2, 3; ε =
  // 0.3. The row's label is 1: 0.7 * 2 * log 2 + 0.1 * (2 + 2 + 6) log 2 = 2.4 log 2, over w_y = 2.
  Case const c{.z = tensor(device, {1, 3}, Dtype::f64, {0, log2, 0}),
               .labels = integers(device, {1}),
               .rule = {.sum_logits = true},
               .chunk = {0, {}, tensor(device, {3}, Dtype::f64, {1, 2, 3})},
               .loss = {.smoothing = 0.3, .classes = 3, .weight_sum = 6}};
  CHECK(tests::value(loss_of(c).loss) == Approx(1.2 * log2));
  // z-loss adds 0.5 lse² (weighted as the row is)
  Case z = c;
  z.loss.z_loss = 0.5;
  CHECK(tests::value(loss_of(z).loss) == Approx(1.2 * log2 + 0.5 * 4 * log2 * log2));
}

TEST_CASE("softmax: every rule -> loss of its definition, and that loss's gradient", "[softmax]") {
  Device& device = tests::device();
  for (auto const& [name, c] : cases(device, 6, 33, 0, Dtype::f64)) {
    CAPTURE(name);
    auto const loss = loss_of(c);
    CHECK(tests::value(loss.loss) == Approx(plain_loss(c)).epsilon(1e-12));
    CHECK(tests::value(loss.factor) == 1);
    std::vector<double> const slope = tests::slopes(
        c.z, [&, &c = c] { return plain_loss(c); }, 1, 1e-6);
    CHECK(tests::distance(values(gradient(c, loss.rows, Dtype::f64)), slope) < 1e-7);
  }
}

TEST_CASE("softmax: chunks and shards of any size -> same result as the whole", "[softmax]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  auto const classes = GENERATE(int64_t{2}, int64_t{31}, int64_t{33}, int64_t{257}, int64_t{9000});
  // Labels need 64 bits.
  for (auto const& [name, c] : cases(device, 6, classes, (int64_t{1} << 33) + 5, dtype)) {
    CAPTURE(name);
    Loss const all = loss_of(c);
    double const want = plain_loss(c);
    CHECK(std::abs(tests::value(all.loss) - want) < tests::f32_reduction * (1 + std::abs(want)));
    int64_t const a = classes / 3, b = classes / 2;
    Loss const chunked = merged({statistics(c, {0, a, a, b, classes})}, c.labels, c.loss);
    Loss const sharded = merged({statistics(c, {0, a}), statistics(c, {a, a}),
                                 statistics(c, {a, b}), statistics(c, {b, classes})},
                                c.labels, c.loss);
    for (Loss const& other : {chunked, sharded}) {
      CHECK(tests::distance(other.rows, all.rows) < tests::f32_reduction);
      CHECK(tests::distance(other.loss, all.loss) < tests::f32_reduction);
    }
  }
}

TEST_CASE("softmax: f32 and bf16 gradients -> within rounding of f64", "[softmax]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  auto const classes = GENERATE(int64_t{2}, int64_t{31}, int64_t{33}, int64_t{257}, int64_t{5000});
  for (auto const& [name, c] : cases(device, 6, classes, 100, Dtype::f32)) {
    CAPTURE(name);
    Case const exact = rounded(c, Dtype::f64);
    Tensor const rows = loss_of(exact).rows;
    CHECK(tests::distance(gradient(c, tests::as(rows, Dtype::f32), dtype),
                          gradient(exact, rows, Dtype::f64)) <
          (dtype == Dtype::bf16 ? 4e-3 : tests::f32_reduction));
  }
}

TEST_CASE("softmax: empty shards and rows of -inf -> no contribution to the result", "[softmax]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  Tensor const labels = integers(device, {0, 1});
  Tensor const none = whole({.z = Tensor(device, {2, 0}, dtype), .labels = labels});
  CHECK(values(none) == std::vector<double>{-infinity, 0, 0, 0, 0, 0, -infinity, 0, 0, 0, 0, 0});
  Case const c{.z = tensor(device, {2, 2}, dtype, {-infinity, -infinity, 1, -infinity}),
               .labels = labels};
  Tensor const stats = statistics(c, {0, 1, 2});
  CHECK(values(stats) == std::vector<double>{-infinity, 0, -infinity, 0, 1, 1,  //
                                             1, 1, -infinity, 0, 1, 1});
  // If one shard has no finite logit in a row, the other shards determine the row's result.
  Tensor const other = tensor(device, {2, 6}, dtype, {2, 3, 0, 0, 0, 0, -infinity, 0, 0, 0, 0, 0});
  auto const rows = values(merged({none, stats, none, other}, labels, {}).rows);
  // The loss is infinite, so all factors are 0.
  CHECK(rows[0] == Approx(2 + std::log(3.0)));
  CHECK(rows[4] == Approx(1));
  CHECK(rows[1] == 0);
  CHECK(rows[5] == 0);
}

TEST_CASE("softmax: logits of magnitude 1000 -> no overflow", "[softmax]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  Case const c{.z = tensor(device, {2, 3}, dtype, {1000, 999, -1000, -1000, -1001, -3000}),
               .labels = integers(device, {0, 2})};
  Loss const loss = merged({statistics(c, {0, 2, 3})}, c.labels, {});
  double const gap = std::log(1 + std::exp(-1.0));
  CHECK(values(loss.rows)[0] == Approx(1000 + gap).epsilon(1e-7));
  CHECK(values(loss.rows)[4] == Approx(-1000 + gap).epsilon(1e-7));
  CHECK(tests::value(loss.loss) == Approx((2000 + 2 * gap) / 2).epsilon(1e-7));
}

TEST_CASE("softmax: a logit is not finite -> loss not finite, factor 0, gradient 0", "[softmax]") {
  Device& device = tests::device();
  auto const bad = GENERATE(as<double>{}, infinity, std::nan(""));
  for (size_t const place : {0u, 20u, 40u}) {
    std::vector<double> logits(82, 0.5);
    logits[place] = bad;
    Case const c{.z = tensor<float>(device, {2, 41}, logits), .labels = integers(device, {0, 5})};
    for (auto const& cuts : {std::vector<int64_t>{0, 41}, std::vector<int64_t>{0, 20, 41}}) {
      Loss const loss = merged({statistics(c, cuts)}, c.labels, {});
      CHECK_FALSE(std::isfinite(tests::value(loss.loss)));
      CHECK(tests::value(loss.factor) == 0);
      // The gradient of the other row is 0 as well.
      CHECK(values(gradient(c, loss.rows, Dtype::f32)) == std::vector<double>(82, 0));
    }
  }
}

TEST_CASE("softmax: no row has a label -> loss 0, factor 1, gradient 0", "[softmax]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  Case const c{.z = tensor(device, {2, 2}, dtype, {1, 2, std::nan(""), 3}),
               .labels = integers(device, {-1, -100})};
  Loss const loss = loss_of(c);
  CHECK(tests::value(loss.loss) == 0);
  CHECK(tests::value(loss.factor) == 1);
  CHECK(values(gradient(c, loss.rows, dtype)) == std::vector<double>(4, 0));
}

TEST_CASE("softmax: 300000 equal logits -> sum accurate in f32", "[softmax]") {
  Device& device = tests::device();
  constexpr int64_t classes = 300000;
  Tensor z(device, {1, classes}, Dtype::f32);
  device.kernels().fill(-0.1, z);  // all equal: a single f32 sum would drift
  Case const c{.z = z, .labels = integers(device, {5})};
  CHECK(std::abs(values(whole(c))[1] / classes - 1) < tests::f32_elementwise);
  std::vector<int64_t> cuts;
  for (int64_t begin = 0; begin < classes; begin += 1000) cuts.push_back(begin);
  cuts.push_back(classes);
  CHECK(std::abs(values(statistics(c, cuts))[1] / classes - 1) < tests::f32_reduction);
}

TEST_CASE("softmax: one and three CPU threads -> same bits", "[softmax][cpu]") {
  cpu::Cpu one(1), three(3);
  auto const run = [](Device& device) {
    Case const c{.z = tests::random(device, {9, 20001}, Dtype::f32, 1),
                 .labels = integers(device, {0, 1, 2, -1, 20000, 7, 8, 9, 10})};
    return values(statistics(c, {0, 15000, 20001}));
  };
  CHECK(run(one) == run(three));
}

TEST_CASE(
    "softmax_mean: no rows on this rank -> factor 1 / weight sum; not finite or no weight -> 0",
    "[softmax]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  auto const run = [&](double sum, double weight) {
    Tensor const sums = tensor<double>(device, {2}, {sum, weight});
    Tensor loss(device, {1}, dtype), factor(device, {1}, Dtype::f64), none;
    device.kernels().softmax_mean(sums, none, loss, factor);
    return std::pair{tests::value(loss), tests::value(factor)};
  };
  CHECK(run(6, 4) == std::pair{1.5, 0.25});
  CHECK(run(0, 0) == std::pair{0.0, 0.0});
  for (double const bad : {infinity, -infinity, std::nan("")}) {
    auto const [loss, factor] = run(bad, 4);
    CHECK_FALSE(std::isfinite(loss));
    CHECK(factor == 0);
  }
}
