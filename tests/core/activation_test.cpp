#include "core/ops.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;
using tests::tensor;
using tests::values;

namespace {

constexpr auto quiet_nan = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE("relu: values by hand -> negatives become 0 and NaN stays NaN", "[ops]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  Tape tape;
  Var const x = tape.input(tensor(device, {5}, dtype, {-2, 0, 3, 1e-20, quiet_nan}));
  Var const y = relu(tape, x);
  auto const out = values(y.value);
  CHECK(std::vector<double>(out.begin(), out.begin() + 3) == std::vector<double>{0, 0, 3});
  CHECK(out[3] > 0);
  CHECK(std::isnan(out[4]));
  tape.backward(y, tensor(device, {5}, dtype, {10, 20, 30, 40, 50}));
  CHECK(values(tape.grad(x)) == std::vector<double>{0, 0, 30, 40, 0});
}

TEST_CASE("relu: f32 and bf16 at odd sizes -> same values and gradients as f64", "[ops]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  auto const size = GENERATE(0, 1, 31, 33, 257, 70001);
  Tensor const x = tests::random(device, {size}, dtype, 1),
               dy = tests::random(device, {size}, dtype, 2);
  auto const run = [&](Dtype in) {
    Tape tape;
    Var const input = tape.input(tests::as(x, in)), y = relu(tape, input);
    tape.backward(y, tests::as(dy, in));
    return std::pair{values(y.value), values(tape.grad(input))};
  };
  CHECK(run(dtype) == run(Dtype::f64));
}

TEST_CASE("relu and prelu: f64 inputs -> gradients match central differences", "[ops]") {
  Device& device = tests::device();
  auto const shape = GENERATE(Shape{1}, Shape{3, 5}, Shape{2, 3, 7, 11});
  Tensor const x = tests::random(device, shape, Dtype::f64, 1);
  Tensor const slope = tests::random(device, {shape.back()}, Dtype::f64, 2);
  tests::gradient_holds(device, x, [](Tape& t, Var const& v) { return relu(t, v); });
  tests::gradient_holds(device, x,
                        [&](Tape& t, Var const& v) { return prelu(t, v, Tape::constant(slope)); });
  tests::gradient_holds(device, slope,
                        [&](Tape& t, Var const& v) { return prelu(t, Tape::constant(x), v); });
}

TEST_CASE("prelu: values by hand -> result, input gradient and slope gradient", "[ops]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  Tape tape;
  Var const x = tape.input(tensor(device, {2, 2}, dtype, {-2, 4, 1, -8}));
  Var const slope = tape.input(tensor(device, {2}, accumulator(dtype), {0.5, 0.25}));
  Var const y = prelu(tape, x, slope);
  CHECK(values(y.value) == std::vector<double>{-1, 4, 1, -2});
  tape.backward(y, tensor(device, {2, 2}, dtype, {3, 5, 7, 2}));
  CHECK(values(tape.grad(x)) == std::vector<double>{1.5, 5, 7, 0.5});
  CHECK(values(tape.grad(slope)) == std::vector<double>{-6, -16});
}

TEST_CASE("prelu: f32 and bf16 inputs -> within rounding of f64", "[ops]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  auto const shape = GENERATE(Shape{0, 3}, Shape{1, 1}, Shape{33, 31}, Shape{5000, 17});
  Tensor const x = tests::random(device, shape, dtype, 1),
               dy = tests::random(device, shape, dtype, 2);
  Tensor const slope = tests::random(device, {shape[1]}, Dtype::f32, 3);
  auto const run = [&](Dtype in) {
    Tape tape;
    Var const input = tape.input(tests::as(x, in));
    Var const slopes = tape.input(tests::as(slope, accumulator(in)));
    Var const y = prelu(tape, input, slopes);
    tape.backward(y, tests::as(dy, in));
    return std::tuple{y.value, tape.grad(input), tape.grad(slopes)};
  };
  auto const [y, dx, dslope] = run(dtype);
  auto const [exact_y, exact_dx, exact_dslope] = run(Dtype::f64);
  CHECK(tests::distance(y, exact_y) < tests::tolerance(dtype));
  CHECK(tests::distance(dx, exact_dx) < tests::tolerance(dtype));
  CHECK(tests::distance(dslope, exact_dslope) < tests::f32_reduction);
}

TEST_CASE("prelu: slope count differs from channel count -> error with both shapes", "[ops]") {
  Device& device = tests::device();
  Tape tape;
  Var const x = tape.input(tests::random(device, {2, 3}, Dtype::f32, 1));
  Var const slope = tape.input(tests::random(device, {2}, Dtype::f32, 1));
  CHECK_THROWS_WITH(prelu(tape, x, slope),
                    Catch::StartsWith("prelu: slope of shape (2) for x of shape (2, 3)"));
}
