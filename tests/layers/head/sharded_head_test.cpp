#include "comm/self.h"
#include "core/cpu/device.h"
#include "core/dry/device.h"
#include "tests/layers/head/head_cases.h"
#include "tests/support/device.h"
#include "tests/support/elsewhere.h"
#include "tests/support/recording_device.h"

using core::Dtype;
using core::Tensor;
using layers::Logits;
using layers::ShardedHead;

namespace {

/// The mean loss of a batch in inference, which updates nothing.
double loss_of(ShardedHead& head, Tensor const& x, tests::HeadBatch const& batch) {
  core::Tape tape(core::Mode::inference);
  return tests::value(head.loss(tape, core::Tape::constant(x), batch.labels, batch.counts).value);
}

}  // namespace

TEST_CASE("sharded head: softmax on one rank -> equal to the dense head") {
  comm::Self self;
  for (auto const& c : tests::softmax_cases())
    tests::check_head(self, tests::device(), Dtype::f64, c, 1e-12);
}

TEST_CASE("sharded head: every loss and option on one rank -> equal to the dense head", "[cpu]") {
  comm::Self self;
  for (auto const& c : tests::all_cases())
    tests::check_head(self, tests::device(), Dtype::f64, c, 1e-11);
}

TEST_CASE("sharded head: logits that differ by hundreds -> equal to the dense head") {
  comm::Self self;
  for (auto const& c : tests::far_cases())
    tests::check_head(self, tests::device(), Dtype::f64, c, 1e-10);
}

TEST_CASE(
    "sharded head: a device other than the host, where dX is one product -> equal to the "
    "dense head",
    "[cpu]") {
  tests::Elsewhere device;
  comm::Self self;
  for (auto const& c : tests::all_cases())
    if (c.options.classes == 50 && c.options.logits == Logits::store)
      tests::check_head(self, device, Dtype::f64, c, 1e-11);
  for (auto const& c : tests::rounded_cases()) {
    tests::check_head(self, device, Dtype::f32, c, tests::f32_reduction);
    tests::check_head(self, device, Dtype::bf16, c, tests::bf16_rounding);
  }
}

namespace {

/// All bytes of the state after three steps, and dX of the last.
std::pair<std::string, std::string> trained(ShardedHead::Options const& options, double rate) {
  tests::Elsewhere device;
  comm::Self self;
  ShardedHead head({device, Dtype::bf16}, self, options);
  std::string state, dx;
  for (int64_t number = 1; number <= 3; ++number) {
    auto const batch = tests::head_batch(device, self, {6}, options.classes, options.features,
                                         Dtype::bf16, unsigned(number));
    auto step = tests::full_rule(device);
    step.number = number;
    step.sampling_rate = rate;
    dx = tests::bytes(tests::train_step(head, batch, step).dx);
  }
  for (auto const& [name, tensor] : head.state()) state += tests::bytes(tensor);
  return {state, dx};
}

}  // namespace

TEST_CASE("sharded head: bf16 copy of the weights -> same bits as without", "[cpu]") {
  if (!tests::can_multiply(tests::device(), Dtype::bf16)) return;
  for (auto const logits : {Logits::store, Logits::recompute})
    for (auto const passes : {layers::Passes::two, layers::Passes::one})
      for (double const rate : {1.0, 0.4}) {
        auto options = tests::softmax_case(50, true, logits, 7, 31).options;
        options.passes = passes;
        // With a copy, dX of stored logits is one product: the same bits if there is one chunk.
        if (logits == Logits::store) options.chunk = 50;
        options.copy = false;
        auto const without = trained(options, rate);
        options.copy = true;
        CHECK(trained(options, rate) == without);
      }
}

TEST_CASE("sharded head: bf16 copy after the weights were written -> refresh updates it", "[cpu]") {
  core::Device& device = tests::device();
  if (!tests::can_multiply(device, Dtype::bf16)) return;
  comm::Self self;
  auto options = tests::softmax_case(50, true, Logits::automatic, 7, 31).options;
  auto const batch = tests::head_batch(device, self, {6}, 50, 31, Dtype::bf16, 1);
  options.copy = true;
  ShardedHead head({device, Dtype::bf16}, self, options);
  Tensor weight = tests::state_of(head, "head.weight");
  device.kernels().fill(0, weight);
  head.refresh();
  CHECK(loss_of(head, batch.x, batch) == Approx(std::log(50.0)));
}

TEST_CASE("sharded head: more chunks -> same number of allocations", "[cpu]") {
  for (auto const logits : {Logits::store, Logits::recompute})
    for (auto const passes : {layers::Passes::two, layers::Passes::one}) {
      auto const allocations = [&](int64_t chunk, layers::HeadLoss const& loss) {
        tests::Elsewhere gpu;  // on the host, each chunk has its own matrix of exponentials
        tests::RecordingDevice device(gpu);
        comm::Self self;
        auto options = tests::softmax_case(121, false, logits, chunk).options;
        options.passes = passes;
        options.loss = loss;
        ShardedHead head({device, Dtype::f32}, self, options);
        auto const batch = tests::head_batch(device, self, {6}, 121, 5, Dtype::f32, 1);
        int64_t const before = device.allocations;
        tests::train_step(head, batch, tests::full_rule(device));
        return device.allocations - before;
      };
      CHECK(allocations(40, {}) == allocations(3, {}));
      auto const arcface = layers::HeadLoss::arcface(8, 0.5);
      CHECK(allocations(40, arcface) == allocations(3, arcface));
    }
}

TEST_CASE("sharded head: tiny sampling rate -> only the classes of the batch are sampled") {
  comm::Self self;
  auto c = tests::softmax_case(50, true, Logits::recompute, 3);
  c.sampling_rate = 1e-300;
  tests::check_head(self, tests::device(), Dtype::f64, c, 1e-11);
}

TEST_CASE("sharded head: inference after a sampled step -> loss over all classes, in chunks",
          "[cpu]") {
  core::cpu::Cpu device;  // its own device, so that its peak is that of this head
  comm::Self self;
  auto c = tests::softmax_case(20'000, false, Logits::recompute, 256);
  ShardedHead head({device, Dtype::f32}, self, c.options);
  auto const batch = tests::head_batch(device, self, {64}, 20'000, 5, Dtype::f32, 1);
  double const before = loss_of(head, batch.x, batch);
  size_t const peak = device.memory().peak;
  auto step = tests::plain_rule(device, 0);
  step.sampling_rate = 0.01;
  tests::train_step(head, batch, step);
  CHECK(loss_of(head, batch.x, batch) == before);
  CHECK(device.memory().peak < 2 * peak);
}

TEST_CASE(
    "sharded head: every loss and option on the device under test -> equal to the dense head") {
  comm::Self self;
  for (auto const& c : tests::all_cases())
    if (c.options.classes == 7) tests::check_head(self, tests::device(), Dtype::f64, c, 1e-11);
}

TEST_CASE("sharded head: f32 and bf16 on one rank -> equal to the dense head within rounding") {
  comm::Self self;
  for (auto const& c : tests::rounded_cases()) {
    tests::check_head(self, tests::device(), Dtype::f32, c, tests::f32_reduction);
    tests::check_head(self, tests::device(), Dtype::bf16, c, tests::bf16_rounding);
  }
}

namespace {

/// Checks dX and dW of a step against central differences of the loss.
void check_slopes(tests::HeadCase const& c) {
  INFO(c);
  core::Device& device = tests::device();
  comm::Self self;
  ShardedHead head({device, Dtype::f64}, self, c.options);
  auto const batch = tests::head_batch(device, self, {5}, 7, 4, Dtype::f64, 3);
  auto const loss = [&] { return loss_of(head, batch.x, batch); };
  auto const x_slopes = tests::slopes(batch.x, loss);
  std::vector<std::vector<double>> w_slopes, before;
  auto const state = head.state();
  for (auto const& [name, tensor] : state) {
    before.push_back(tests::values(tensor));
    if (name != "head.margin") w_slopes.push_back(tests::slopes(tensor, loss));
  }
  auto const result = tests::train_step(head, batch, tests::plain_rule(device, 1));
  // AdaFace treats the norm of the features as a constant, without a gradient.
  if (c.options.loss.margin != layers::MarginKind::adaptive)
    CHECK(tests::distance(tests::values(result.dx), x_slopes) < 1e-7);
  for (size_t i = 0; i < w_slopes.size(); ++i) {
    INFO(state[i].name);
    auto taken = before[i];  // a step with learning rate 1 subtracts the gradient from the weights
    auto const after = tests::values(state[i].tensor);
    for (size_t j = 0; j < taken.size(); ++j) taken[j] -= after[j];
    CHECK(tests::distance(taken, w_slopes[i]) < 1e-7);
  }
}

}  // namespace

TEST_CASE("sharded head: gradients of every loss -> match central differences") {
  for (auto const logits : {Logits::store, Logits::recompute})
    for (auto const plan : {layers::Passes::two, layers::Passes::one}) {
      auto like = tests::softmax_case(7, true, logits, 3, 4);
      like.options.moments = layers::Moments::none;
      like.options.passes = plan;
      like.options.init_std = 1;
      auto all = tests::losses(like);
      all.push_back(like);
      for (auto& c : all) {
        auto& loss = c.options.loss;
        if (loss.gradient != core::math::MarginGradient::exact)
          continue;  // the gradient differs from the slope on purpose
        if (plan == layers::Passes::one && loss.smoothing > 0) continue;
        loss.share = 1e-300;  // running statistics stay constant
        check_slopes(c);
      }
    }
}

TEST_CASE("sharded head: inference -> weights unchanged") {
  core::Device& device = tests::device();
  comm::Self self;
  ShardedHead head({device, Dtype::f32}, self,
                   tests::softmax_case(50, true, Logits::store, 0).options);
  auto const batch = tests::head_batch(device, self, {6}, 50, 5, Dtype::f32, 1);
  auto const before = tests::values(tests::state_of(head, "head.weight"));
  head.set_step(tests::full_rule(device));
  CHECK(loss_of(head, batch.x, batch) > 0);
  CHECK(tests::values(tests::state_of(head, "head.weight")) == before);
}

TEST_CASE("sharded head: peak memory -> one chunk, or all logits if stored", "[cpu]") {
  comm::Self self;
  int64_t const classes = 50'000, batch_size = 64, features = 16;
  size_t const all_logits = classes * batch_size * sizeof(float);
  auto const beside_state = [&](Logits logits) {
    core::cpu::Cpu device;  // its own device, so that its peak is that of this head
    ShardedHead head({device, Dtype::f32}, self,
                     {.classes = classes, .features = features, .bias = true, .logits = logits});
    auto const batch =
        tests::head_batch(device, self, {batch_size}, classes, features, Dtype::f32, 1);
    tests::train_step(head, batch, tests::full_rule(device));
    size_t state = 0;
    for (auto const& [name, tensor] : head.state()) state += tensor.bytes();
    CHECK(state == classes * (features + 1) * 2 * sizeof(float));
    return device.memory().peak - state;
  };
  CHECK(beside_state(Logits::recompute) < all_logits / 4);
  CHECK(beside_state(Logits::store) > all_logits);
  CHECK(beside_state(Logits::automatic) > all_logits);  // 12.8 MB are stored
}

TEST_CASE("sharded head: more than 2^32 logits per batch -> correct", "[cpu][large]") {
  core::cpu::Cpu device;
  comm::Self self;
  int64_t const classes = 66'000, rows = 66'000, half = classes / 2;
  ShardedHead head({device, Dtype::f32}, self,
                   {.classes = classes,
                    .features = 1,
                    .moments = layers::Moments::none,
                    .chunk = 100,
                    .logits = Logits::recompute});
  // Logits are 0 in the first half of the classes and 1 in the second. Labels are at both ends.
  Tensor weight = tests::state_of(head, "head.weight"), last = weight.rows(half, classes);
  auto& kernels = device.kernels();
  kernels.fill(0, weight);
  kernels.fill(1, last);
  tests::HeadBatch batch;
  batch.x = Tensor(device, {rows, 1}, Dtype::f32);
  kernels.fill(1, batch.x);
  for (int64_t r = 0; r < rows; ++r) batch.all_labels.push_back(r < 1000 ? 0 : classes - 1);
  batch.labels = tests::labels_tensor(device, batch.all_labels);
  batch.counts = {rows};

  double const sum = double(half) * (1 + std::exp(1.0)), share = 1000.0 / double(rows);
  double const low = 1 / sum, high = std::exp(1.0) / sum, in_last = double(half) * high;
  auto const result = tests::train_step(head, batch, tests::plain_rule(device, 1));
  CHECK(tests::value(result.loss) == Approx(std::log(sum) - (1 - share)).epsilon(1e-5));
  auto const dx = tests::values(result.dx), w = tests::values(weight);
  for (int64_t const r : {int64_t{0}, int64_t{999}, int64_t{1000}, rows - 1})
    CHECK(dx[size_t(r)] == Approx((in_last - (r < 1000 ? 0 : 1)) / double(rows)).epsilon(1e-4));
  // dW sums 66,000 rows in f32. How oneDNN blocks that sum depends on the processor; one term after
  // another, its relative error is at most rows * 2^-24 = 4e-3, and 3e-4 with AVX2.
  CHECK(w[0] == Approx(-(low - share)).epsilon(1e-3));
  CHECK(w[size_t(classes) - 1] == Approx(1 - (high - (1 - share))).epsilon(1e-3));
  for (int64_t const c : {int64_t{1}, half - 1}) CHECK(w[size_t(c)] == Approx(-low).epsilon(1e-4));
  for (int64_t const c : {half, classes - 2})
    CHECK(1 - w[size_t(c)] == Approx(high).epsilon(0.02));  // f32 rounding near 1
}

TEST_CASE("sharded head: automatic chunk -> fits the cache", "[cpu]") {
  core::cpu::Cpu device;
  comm::Self self;
  auto const chunk = [&](int64_t features, int64_t asked, int64_t batch) {
    return ShardedHead({device}, self, {.classes = 3, .features = features, .chunk = asked})
        .chunk(batch);
  };
  CHECK(chunk(5, 17, 1000) == 17);
  CHECK(chunk(1, 0, 1) == 4096);
  CHECK(chunk(4096, 0, 100'000) == 256);
  int64_t const middle = chunk(512, 0, 256);
  CHECK(middle % 64 == 0);
  CHECK((middle > 256 && middle < 4096));
}

TEST_CASE("sharded head: automatic chunk of a GPU -> large and equal, whatever cache and batch",
          "[cpu]") {
  auto const chunk = [](int64_t classes, int64_t batch, int64_t capacity) {
    core::dry::DryRunDevice gpu({.name = "GPU", .cache_bytes = 1 << 20, .capacity = capacity});
    comm::Self self;
    return ShardedHead({gpu}, self, {.classes = classes, .features = 512}).chunk(batch);
  };
  int64_t const enough = int64_t{80} << 30, little = int64_t{8} << 30;
  CHECK(chunk(1'000'000, 64, enough) == 32'320);  // 31 chunks; the last has 30,400 classes
  CHECK(chunk(1'000'000, 4096, enough) == 32'320);
  CHECK(chunk(1'000'000, 4096, 0) == 32'320);
  CHECK(chunk(100'000, 1024, enough) == 25'024);  // 4 chunks
  CHECK(chunk(1'000'000, 4096, little) == 16'192);
  CHECK(chunk(32'768, 1, enough) == 32'768);
  CHECK(chunk(32'769, 1, enough) == 16'448);
  CHECK(chunk(3, 1, enough) == 64);
}

TEST_CASE("sharded head: memory of a GPU -> what is stored, and its description", "[cpu]") {
  core::dry::DryRunDevice gpu({.name = "GPU", .cache_bytes = 1 << 20});
  comm::Self self;
  auto const head = [&](int64_t memory, Logits logits = Logits::automatic) {
    // 1 MiB of state, 256 kB of a copy, and 16 kB of exponentials per row of the batch.
    auto made = std::make_unique<ShardedHead>(
        layers::Context{gpu, Dtype::bf16}, self,
        ShardedHead::Options{.classes = 8192, .features = 16, .logits = logits, .memory = memory});
    return made;
  };
  using Catch::Contains;
  int64_t const state = 8192 * 16 * 8, copy = 8192 * 16 * 2, row = 8192 * 2;
  CHECK_THAT(head(2 * (state + copy))->describe(1), Contains("bf16 copy of the weights"));
  CHECK_THAT(head(2 * (state + copy) - 1)->describe(1), !Contains("bf16 copy of the weights"));
  auto const large = head(2 * (state + copy) + 200 * row);
  int64_t const fits = (state + copy + 200 * row) / 2 / row;
  CHECK(large->stores(fits));
  CHECK_FALSE(large->stores(fits + 1));
  CHECK_THAT(large->describe(fits + 1),
             Contains("8192 per chunk, with a bf16 copy of the weights; logits recomputed") &&
                 Contains("half of the remaining memory is"));
  CHECK_FALSE(head(state)->stores(1));
  CHECK_THAT(head(state)->describe(1), Contains("alone fill the memory"));
  CHECK(head(state, Logits::store)->stores(1));
  // Unknown memory: small beside the state, at most 100 MiB.
  CHECK(head(0)->stores((int64_t{100} << 20) / row));
  CHECK_FALSE(head(0)->stores((int64_t{100} << 20) / row + 1));
}

TEST_CASE("sharded head: invalid options or batch -> throws") {
  core::Device& device = tests::device();
  comm::Self self;
  layers::Context const context{device};
  using Catch::Contains;
  CHECK_THROWS_WITH(ShardedHead(context, self, {.classes = 0, .features = 5}),
                    Contains("0 classes"));
  CHECK_THROWS_WITH(ShardedHead(context, self, {.classes = 5, .features = 0}),
                    Contains("0 features"));
  CHECK_THROWS_WITH(ShardedHead(context, self, {.classes = 5, .features = 5, .chunk = -1}),
                    Contains("chunk -1"));
  ShardedHead head(context, self, {.classes = 5, .features = 3, .moments = layers::Moments::none});
  auto const plain = tests::at_step(device, {}, 1, 1);
  auto fast = plain;
  fast.momentum = 0.9;
  CHECK_THROWS_WITH(head.set_step({fast, plain}), Contains("without velocities"));
  CHECK_THROWS_WITH(head.set_step({plain, fast}), Contains("without velocities"));
  CHECK_THROWS_WITH(head.set_step({plain, {}}), Contains("core::make_step_scalars"));
  auto const loss = [&](core::Shape const& shape, Dtype dtype, int64_t labels) {
    core::Tape tape;
    head.loss(tape, tape.input(tests::random(device, shape, dtype, 1)),
              tests::labels_tensor(device, std::vector<int64_t>(size_t(labels))), {shape[0]});
  };
  CHECK_NOTHROW(loss({2, 3}, Dtype::f32, 2));
  CHECK_THROWS_WITH(loss({2, 4}, Dtype::f32, 2), Contains("(2, 4)") && Contains("3 features"));
  CHECK_THROWS_WITH(loss({2, 3}, Dtype::f32, 3), Contains("3 labels"));
  CHECK_THROWS_WITH(loss({2, 3}, Dtype::f64, 2), Contains("f64"));
  CHECK_THROWS_WITH(loss({0, 3}, Dtype::f32, 0), Contains("empty"));
  CHECK_THROWS_WITH(head.top_k(tests::random(device, {2, 3}, Dtype::f32, 1), {2}, 0),
                    Contains("positive k, not 0"));
}

TEST_CASE("sharded head: top_k -> equal to a full sort") {
  core::Device& device = tests::device();
  comm::Self self;
  for (auto const dtype : {Dtype::f64, Dtype::f32, Dtype::bf16})
    for (int64_t const classes : {1, 2, 7, 50, 1000})
      for (int64_t const chunk : {0, 1, 3, 64})
        for (int const k : {1, 5, 60})
          tests::check_top_k(self, device, dtype,
                             tests::softmax_case(classes, chunk == 3, Logits::automatic, chunk, 4),
                             k);
}
