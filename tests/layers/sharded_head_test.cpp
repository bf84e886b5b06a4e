#include "comm/self.h"
#include "core/cpu/device.h"
#include "tests/layers/sharded_head_checks.h"
#include "tests/support/device.h"

using core::Dtype;
using core::Tensor;
using layers::Logits;
using layers::ShardedHead;

namespace {

/// The mean loss of a batch, with nothing updated.
double loss_of(ShardedHead& head, Tensor const& x, tests::HeadBatch const& batch) {
  core::Tape tape(core::Mode::inference);
  return tests::value(head.loss(tape, core::Tape::constant(x), batch.labels, batch.counts).value);
}

}  // namespace

TEST_CASE("sharded head: equals the dense one on a rank alone") {
  core::Device& device = tests::device();
  comm::Self self;
  for (int64_t const classes : {1, 2, 3, 7, 50, 1000})
    for (bool const bias : {false, true})
      for (auto const logits : {Logits::automatic, Logits::store, Logits::recompute})
        for (int64_t const chunk : {0, 1, 3, 64})
          tests::check_head(self, device, Dtype::f64, {classes, bias, logits, chunk}, 1e-12);
}

TEST_CASE("sharded head: f32 and bf16 stay within their rounding of f64") {
  core::Device& device = tests::device();
  comm::Self self;
  for (auto const logits : {Logits::store, Logits::recompute}) {
    tests::HeadCase const head{50, true, logits, 7, 31};
    tests::check_head(self, device, Dtype::f32, head, tests::f32_reduction);
    tests::check_head(self, device, Dtype::bf16, head, tests::bf16_rounding);
  }
}

TEST_CASE("sharded head: gradients are the slopes of the loss") {
  core::Device& device = tests::device();
  comm::Self self;
  ShardedHead head({device, Dtype::f64}, self,
                   {.classes = 7, .features = 4, .bias = true, .momentum = false, .deviation = 1});
  auto const batch = tests::head_batch(device, self, {5}, 7, 4, Dtype::f64, 3);
  Tensor weight = tests::state_of(head, "head.weight"), bias = tests::state_of(head, "head.bias");
  auto const loss = [&] { return loss_of(head, batch.x, batch); };
  auto const x_slopes = tests::slopes(batch.x, loss), w_slopes = tests::slopes(weight, loss),
             b_slopes = tests::slopes(bias, loss);
  auto const w = clone(weight), b = clone(bias);

  auto const result = tests::train_step(head, batch, tests::plain_rule(device, 1));
  auto& kernels = device.kernels();
  Tensor dw = clone(w), db = clone(b);  // a step at rate 1 takes the gradient off the weights
  kernels.accumulate(-1, weight, dw);
  kernels.accumulate(-1, bias, db);
  CHECK(tests::distance(tests::values(result.dx), x_slopes) < 1e-8);
  CHECK(tests::distance(tests::values(dw), w_slopes) < 1e-8);
  CHECK(tests::distance(tests::values(db), b_slopes) < 1e-8);
}

TEST_CASE("sharded head: stored and recomputed logits give the same bits") {
  core::Device& device = tests::device();
  comm::Self self;
  for (auto const dtype : {Dtype::f64, Dtype::f32, Dtype::bf16}) {
    std::vector<std::vector<double>> seen;
    for (auto const logits : {Logits::store, Logits::recompute}) {
      ShardedHead head({device, dtype}, self, tests::options_of({300, true, logits, 64, 33}));
      auto& all = seen.emplace_back();
      for (unsigned step = 0; step < 3; ++step) {
        auto const batch = tests::head_batch(device, self, {31}, 300, 33, dtype, step);
        auto const [loss, dx] = tests::train_step(head, batch, tests::full_rule(device));
        for (auto const& t : {loss, dx})
          for (double const value : tests::values(t)) all.push_back(value);
      }
    }
    CHECK(seen[0] == seen[1]);
  }
}

TEST_CASE("sharded head: inference updates nothing") {
  core::Device& device = tests::device();
  comm::Self self;
  ShardedHead head({device, Dtype::f32}, self, tests::options_of({50, true, Logits::store, 0}));
  auto const batch = tests::head_batch(device, self, {6}, 50, 5, Dtype::f32, 1);
  auto const before = tests::values(tests::state_of(head, "head.weight"));
  head.set_step(tests::full_rule(device));
  CHECK(loss_of(head, batch.x, batch) > 0);
  CHECK(tests::values(tests::state_of(head, "head.weight")) == before);
}

TEST_CASE("sharded head: memory beside the state is that of a chunk, or of all logits", "[cpu]") {
  comm::Self self;
  int64_t const classes = 50'000, batch_size = 64, features = 16;
  size_t const all_logits = classes * batch_size * sizeof(float);
  auto const beside_state = [&](Logits logits) {
    core::cpu::Cpu device;  // whose peak is this head's
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
  CHECK(beside_state(Logits::automatic) > all_logits);  // 12.8 MB are worth storing
}

TEST_CASE("sharded head: chunks by themselves suit the cache", "[cpu]") {
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

TEST_CASE("sharded head: what cannot be is refused") {
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
  ShardedHead head(context, self, {.classes = 5, .features = 3, .momentum = false});
  core::SgdStep const plain{.rate = core::scalar(device, 1)};
  core::SgdStep const fast{.rate = plain.rate, .momentum = 0.9};
  CHECK_THROWS_WITH(head.set_step({fast, plain}), Contains("without velocities"));
  CHECK_THROWS_WITH(head.set_step({plain, fast}), Contains("without velocities"));
  CHECK_THROWS_WITH(head.set_step({plain, {}}), Contains("core::scalar"));
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
                    Contains("top 0"));
}

TEST_CASE("sharded head: the best classes are those of a full sort") {
  core::Device& device = tests::device();
  comm::Self self;
  for (auto const dtype : {Dtype::f64, Dtype::f32, Dtype::bf16})
    for (int64_t const classes : {1, 2, 7, 50, 1000})
      for (int64_t const chunk : {0, 1, 3, 64})
        for (int const k : {1, 5, 60})
          tests::check_top_k(self, device, dtype,
                             {classes, chunk == 3, Logits::automatic, chunk, 4}, k);
}
