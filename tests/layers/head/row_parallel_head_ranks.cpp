#include "comm/self.h"
#include "layers/head/column_parallel.h"
#include "layers/head/row_parallel_head.h"
#include "tests/layers/head/heads.h"
#include "tests/support/ranks.h"

using Catch::Contains;
using core::Dtype;
using core::Tensor;
using layers::RowParallelHead;
using layers::ShardedHead;
using tests::device;
using tests::distance;
using tests::world;

namespace {

tests::HeadBatch batch_of(int64_t classes, int64_t features, Dtype dtype, unsigned seed) {
  return tests::head_batch(device(), world(), tests::uneven(world().size()), classes, features,
                           dtype, seed);
}

/// Gathers the whole weight or velocity of a head from its columns.
Tensor from_columns(Tensor const& mine, int64_t features) {
  return layers::gather_columns(world(), mine, comm::split_evenly(features, world().size()));
}

Tensor from_rows(Tensor const& mine, int64_t classes) {
  return layers::gather_rows(world(), mine, comm::split_evenly(classes, world().size()));
}

void check_equals_sharded(int64_t classes, int64_t features, bool bias) {
  INFO(classes << " classes, " << features << " features, bias " << bias);
  layers::Context const context{device(), Dtype::f64};
  RowParallelHead row(context, world(), {.classes = classes, .features = features, .bias = bias});
  ShardedHead column(context, world(), {.classes = classes, .features = features, .bias = bias});
  for (unsigned step = 0; step < 2; ++step) {
    auto const batch = batch_of(classes, features, Dtype::f64, step);
    auto const a = tests::train_step(row, batch, tests::full_rule(device()));
    auto const b = tests::train_step(column, batch, tests::full_rule(device()));
    CHECK(distance(a.loss, b.loss) < 1e-12);
    CHECK(distance(a.dx, b.dx) < 1e-12);
    for (double const other : tests::of_all_ranks(world(), a.loss))
      CHECK(other == tests::value(a.loss));
  }
  auto const start = tests::state_of(row, "head.weight");
  CHECK(start.shape() == core::Shape{classes, start.size(1)});
  for (auto const* name : {"head.weight", "head.weight.velocity"})
    CHECK(distance(from_columns(tests::state_of(row, name), features),
                   from_rows(tests::state_of(column, name), classes)) < 1e-12);
  CHECK(row.state().size() == column.state().size());
  if (!bias) return;
  for (auto const* name : {"head.bias", "head.bias.velocity"})
    CHECK(distance(tests::state_of(row, name), from_rows(tests::state_of(column, name), classes)) <
          1e-12);
}

/// The mean, over B × C, of the squared difference of two sets of logits.
double mean_squared_difference(Tensor const& a, Tensor const& b) {
  auto const x = tests::values(a), y = tests::values(b);
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += (x[i] - y[i]) * (x[i] - y[i]);
  return sum / static_cast<double>(x.size());
}

}  // namespace

TEST_CASE("row-parallel head: two steps -> same as the sharded head", "[ranks]") {
  for (int64_t const classes : {2, 7, 50})
    for (int64_t const features : {1, 3, 10})
      for (bool const bias : {false, true}) check_equals_sharded(classes, features, bias);
}

TEST_CASE("row-parallel head: top_k -> same as the sharded head", "[ranks]") {
  layers::Context const context{device(), Dtype::f64};
  for (int64_t const classes : {1, 3, 50}) {
    RowParallelHead row(context, world(), {.classes = classes, .features = 5});
    ShardedHead column(context, world(), {.classes = classes, .features = 5});
    auto const batch = batch_of(classes, 5, Dtype::f64, 1);
    for (int const k : {1, 5, 60}) {
      auto const a = row.top_k(batch.x, batch.counts, k);
      auto const b = column.top_k(batch.x, batch.counts, k);
      CHECK(a.classes == b.classes);
      bool close = a.scores.size() == b.scores.size();
      for (size_t i = 0; close && i < a.scores.size(); ++i)
        close = a.scores[i] == b.scores[i] || std::abs(a.scores[i] - b.scores[i]) < 1e-12;
      CHECK(close);
    }
  }
}

TEST_CASE("row-parallel linear: logits -> those of the unsplit layer, within rounding", "[ranks]") {
  int64_t const classes = 257, features = 511;
  for (auto const dtype : {Dtype::f32, Dtype::bf16}) {
    layers::Context const context{device(), dtype};
    layers::RowParallelLinear linear(context, world(), "head", {.in = features, .out = classes});
    auto const batch = batch_of(classes, features, dtype, 1);
    auto const x = tests::as(layers::gather_rows(world(), batch.x, batch.counts), Dtype::f32);
    core::Tape tape(core::Mode::inference);
    auto const split = linear.forward(tape, core::Tape::constant(tests::as(x, dtype))).value;
    Tensor whole(device(), split.shape(), Dtype::f32);
    device().kernels().matmul(x, core::Transpose::no, linear.whole_weight(), core::Transpose::yes,
                              1, 0, whole);
    double const difference = mean_squared_difference(split, whole);
    // Rounding to bf16 moves logits of size 0.2 by some 1e-4.
    if (dtype == Dtype::bf16) CHECK((difference > 1e-9 && difference < 1e-5));
    if (dtype == Dtype::f32) CHECK(difference < 1e-10);
    if (dtype == Dtype::f32 && world().size() == 1) CHECK(difference == 0);
  }
}

TEST_CASE("row-parallel head: no momentum -> no velocity stored", "[ranks]") {
  RowParallelHead head({device()}, world(),
                       {.classes = 5, .features = 3, .bias = true, .momentum = false});
  CHECK(head.state().size() == 2);
  auto const before = tests::values(tests::state_of(head, "head.bias"));
  tests::train_step(head, batch_of(5, 3, Dtype::f32, 1), tests::plain_rule(device(), 0.1));
  CHECK(tests::values(tests::state_of(head, "head.bias")) != before);
  CHECK_THROWS_WITH(head.set_step(tests::full_rule(device())), Contains("without velocities"));
}

TEST_CASE("row-parallel head: gradient clipping -> same as the sharded head", "[ranks]") {
  layers::Context const context{device(), Dtype::f64};
  RowParallelHead row(context, world(), {.classes = 7, .features = 10, .bias = true});
  ShardedHead column(context, world(), {.classes = 7, .features = 10, .bias = true});
  double const limit = 0.1;
  auto step = tests::full_rule(device());
  step.deferred = true;
  auto const clipped_step = [&](layers::Head& head, tests::HeadBatch const& batch) {
    head.set_step(step);
    auto const before = tests::values(tests::state_of(head, "head.weight"));
    tests::forward_backward(head, batch);
    CHECK(tests::values(tests::state_of(head, "head.weight")) == before);  // the update is deferred
    Tensor squares = core::scalar(device(), 0), factor = head.gradient_scale();
    head.add_gradient_squared_norm(squares);
    device().kernels().clip_factor(limit, squares, factor);
    head.finish();
    return tests::value(squares);
  };
  for (unsigned number = 0; number < 2; ++number) {
    auto const batch = batch_of(7, 10, Dtype::f64, number);
    double const squares = clipped_step(row, batch);
    CHECK(squares > 4 * limit * limit);  // otherwise nothing is clipped
    CHECK(squares == Approx(clipped_step(column, batch)).epsilon(1e-12));
  }
  for (auto const* name : {"head.weight", "head.weight.velocity"})
    CHECK(distance(from_columns(tests::state_of(row, name), 10),
                   from_rows(tests::state_of(column, name), 7)) < 1e-12);
  CHECK(distance(tests::state_of(row, "head.bias"),
                 from_rows(tests::state_of(column, "head.bias"), 7)) < 1e-12);
}

TEST_CASE("row-parallel head: loss not finite -> state unchanged", "[ranks]") {
  RowParallelHead head({device()}, world(), {.classes = 7, .features = 10, .bias = true});
  tests::train_step(head, batch_of(7, 10, Dtype::f32, 1), tests::full_rule(device()));
  std::vector<std::string> before;
  for (auto const& [name, tensor] : head.state()) before.push_back(tests::bytes(tensor));
  auto batch = batch_of(7, 10, Dtype::f32, 2);
  if (world().rank() == 0) {
    auto numbers = tests::values(batch.x);
    numbers[1] = NAN;
    batch.x = tests::tensor(device(), batch.x.shape(), Dtype::f32, numbers);
  }
  auto const result = tests::train_step(head, batch, tests::full_rule(device()));
  CHECK(std::isnan(tests::value(result.loss)));
  CHECK(tests::value(head.gradient_scale()) == 0);
  auto const after = head.state();
  for (size_t i = 0; i < after.size(); ++i) CHECK(tests::bytes(after[i].tensor) == before[i]);
}

TEST_CASE("row-parallel head: unsupported step -> throws", "[ranks]") {
  RowParallelHead head({device()}, world(), {.classes = 5, .features = 3});
  auto const told = Contains("use the class-sharded head");
  auto step = tests::full_rule(device());
  step.trust_coefficient = 0.1;
  CHECK_THROWS_WITH(head.set_step(step), told);
  step.trust_coefficient = 0;
  step.sampling_rate = 0.5;
  CHECK_THROWS_WITH(head.set_step(step), told);
  step.sampling_rate = 1;
  step.summed = true;
  CHECK_THROWS_WITH(head.set_step(step), Contains("must be deferred"));
  step.deferred = true;
  CHECK_THROWS_WITH(head.set_step(step), told);
  step.summed = false;
  CHECK_NOTHROW(head.set_step(step));
}

TEST_CASE("row-parallel head: invalid options or batch -> every rank throws", "[ranks]") {
  RowParallelHead head({device()}, world(), {.classes = 5, .features = 3});
  auto const loss = [&](core::Shape const& shape, Dtype dtype, int64_t labels) {
    core::Tape tape;
    head.loss(tape, tape.input(tests::random(device(), shape, dtype, 1)),
              tests::labels_tensor(device(), std::vector<int64_t>(size_t(labels))),
              comm::Counts(size_t(world().size()), shape[0]));
  };
  CHECK_NOTHROW(loss({2, 3}, Dtype::f32, 2));
  CHECK_THROWS_WITH(loss({2, 4}, Dtype::f32, 2), Contains("(2, 4)"));
  CHECK_THROWS_WITH(loss({2, 3}, Dtype::f32, 3), Contains("3 labels"));
  CHECK_THROWS_WITH(loss({2, 3}, Dtype::f64, 2), Contains("f64"));
  CHECK_THROWS_WITH(loss({0, 3}, Dtype::f32, 0), Contains("empty"));
  CHECK_THROWS_WITH(head.top_k(tests::random(device(), {2, 3}, Dtype::f32, 1),
                               comm::Counts(size_t(world().size()), 2), 0),
                    Contains("positive k, not 0"));
  CHECK_THROWS_WITH(RowParallelHead({device()}, world(), {.classes = 0, .features = 3}),
                    Contains("0 classes"));
}
