#include "core/ops.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;
using tests::tensor;
using tests::values;

TEST_CASE("add: two values, and a value added to itself -> both gradients", "[ops]") {
  Device& device = tests::device();
  Tensor const x = tests::random(device, {3, 5}, Dtype::f64, 1),
               y = tests::random(device, {3, 5}, Dtype::f64, 2);
  tests::gradient_holds(device, x,
                        [&](Tape& t, Var const& v) { return add(t, v, Tape::constant(y)); });
  tests::gradient_holds(device, y,
                        [&](Tape& t, Var const& v) { return add(t, Tape::constant(x), v); });
  tests::gradient_holds(device, x, [](Tape& t, Var const& v) { return add(t, v, add(t, v, v)); });
}

TEST_CASE("add: different shapes -> error with both shapes", "[ops]") {
  Device& device = tests::device();
  Tape tape;
  Var const x = tape.input(tests::random(device, {2, 3}, Dtype::f32, 1));
  Var const y = tape.input(tests::random(device, {3, 2}, Dtype::f32, 1));
  CHECK_THROWS_WITH(add(tape, x, y), Catch::StartsWith("add: shapes (2, 3) and (3, 2)"));
}

TEST_CASE("flatten: image tensor -> a view; the gradient has the shape of x", "[ops]") {
  Device& device = tests::device();
  Tensor const x = tests::random(device, {2, 3, 5, 7}, Dtype::f64, 1);
  Tape tape;
  Var const y = flatten(tape, tape.input(x));
  CHECK(y.value.shape() == Shape{2, 105});
  CHECK(y.value.raw() == x.raw());
  tests::gradient_holds(device, x, [](Tape& t, Var const& v) { return flatten(t, v); });
  CHECK(flatten(tape, Tape::constant(Tensor(device, {0, 2, 2}, Dtype::f32))).value.shape() ==
        Shape{0, 4});
}

TEST_CASE("convert: f32 to bf16 -> the gradient has x's dtype; same dtype -> the same variable",
          "[ops]") {
  Device& device = tests::device();
  Tape tape;
  Var const x = tape.input(tensor<float>(device, {2}, {1 + 0x1p-8, 3}));
  Var const y = convert(tape, x, Dtype::bf16);
  CHECK(y.value.dtype() == Dtype::bf16);
  CHECK(values(y.value) == std::vector<double>{1, 3});
  tape.backward(y, tensor<bf16>(device, {2}, {0.5, -2}));
  CHECK(tape.grad(x).dtype() == Dtype::f32);
  CHECK(values(tape.grad(x)) == std::vector<double>{0.5, -2});
  CHECK(convert(tape, x, Dtype::f32).slot == x.slot);
}

TEST_CASE("ops: constant inputs -> constant results without backward", "[ops]") {
  Device& device = tests::device();
  Tape tape;
  Var const x = Tape::constant(tests::random(device, {2, 3}, Dtype::f32, 1));
  CHECK_FALSE(relu(tape, x).requires_grad());
  CHECK_FALSE(flatten(tape, x).requires_grad());
  CHECK_FALSE(convert(tape, x, Dtype::bf16).requires_grad());
  CHECK_FALSE(dropout(tape, x, 0.5, 1).requires_grad());
  CHECK_FALSE(l2_normalise(tape, x).requires_grad());
}

TEST_CASE("dropout: training -> elements zeroed or scaled; backward uses the same mask", "[ops]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  Tensor x(device, {100, 33}, dtype);
  device.kernels().fill(3, x);
  Tape tape(Mode::training, {.seed = 1, .step = 5});
  Var const in = tape.input(x), y = dropout(tape, in, 0.25, 2);
  Tensor dy = empty_like(x);
  device.kernels().fill(-1.5, dy);
  tape.backward(y, dy);
  auto const out = values(y.value), slope = values(tape.grad(in));
  int dropped = 0, wrong = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    dropped += out[i] == 0;
    wrong += out[i] != 0 && std::abs(out[i] - 4) > 1e-6;
    wrong += std::abs(slope[i] * -2 - out[i]) > 1e-6;
  }
  CHECK(wrong == 0);
  CHECK(std::abs(dropped - 825) < 5 * 25);  // 3300 samples: standard deviation 25
}

TEST_CASE("dropout: seed, step, layer or sample changes -> another mask; the rank does not matter",
          "[ops]") {
  Device& device = tests::device();
  Tensor const x = tests::random(device, {8, 31}, Dtype::f32, 1);
  auto const run = [&](RandomPosition const& position, uint64_t layer, Tensor const& rows) {
    Tape tape(Mode::training, position);
    return values(dropout(tape, tape.input(rows), 0.5, layer).value);
  };
  auto const whole = run({1, 5, 0}, 2, x);
  auto const second = run({1, 5, 3}, 2, x.rows(3, 8));  // a rank whose samples begin at 3
  CHECK(std::equal(second.begin(), second.end(), whole.begin() + 3 * 31));
  CHECK(run({1, 5, 0}, 2, x) == whole);
  CHECK(run({1, 5, 0}, 3, x) != whole);
  CHECK(run({1, 6, 0}, 2, x) != whole);
  CHECK(run({2, 5, 0}, 2, x) != whole);
}

TEST_CASE("dropout: inference or probability 0 -> the input itself; probability 1 -> error",
          "[ops]") {
  Device& device = tests::device();
  Tape training, inference(Mode::inference);
  Tensor const x = tests::random(device, {2, 3}, Dtype::f32, 1);
  CHECK(dropout(inference, inference.input(x), 0.5, 1).value.raw() == x.raw());
  CHECK(dropout(training, training.input(x), 0, 1).value.raw() == x.raw());
  CHECK_THROWS_AS(dropout(training, training.input(x), 1, 1), Error);
}

TEST_CASE("l2_normalise: rows by hand -> unit rows; a zero row stays zero", "[ops]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  Tape tape(Mode::inference);
  Var const y = l2_normalise(tape, tape.input(tensor(device, {2, 2}, dtype, {3, 4, 0, 0})));
  std::vector<double> const exact{0.6, 0.8, 0, 0};
  CHECK(tests::distance(values(y.value), exact) < tests::tolerance(dtype));
}

TEST_CASE(
    "l2_normalise: f32 and bf16 inputs -> within rounding of f64; gradients match central "
    "differences",
    "[ops]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  auto const shape = GENERATE(Shape{0, 5}, Shape{1, 1}, Shape{3, 31}, Shape{33, 257});
  Tensor const x = tests::random(device, shape, dtype, 1),
               dy = tests::random(device, shape, dtype, 2);
  auto const run = [&](Dtype in) {
    Tape tape;
    Var const input = tape.input(tests::as(x, in)), y = l2_normalise(tape, input);
    tape.backward(y, tests::as(dy, in));
    return std::pair{y.value, tape.grad(input)};
  };
  auto const [y, dx] = run(dtype);
  auto const [exact_y, exact_dx] = run(Dtype::f64);
  CHECK(tests::distance(y, exact_y) < tests::tolerance(dtype));
  // A row of one element has a zero gradient: only rounding remains.
  if (shape[1] > 1) CHECK(tests::distance(dx, exact_dx) < tests::tolerance(dtype));
  if (shape[0] == 3)
    tests::gradient_holds(device, tests::as(x, Dtype::f64),
                          [](Tape& t, Var const& v) { return l2_normalise(t, v); });
}
