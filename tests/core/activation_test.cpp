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

TEST_CASE("relu: f64 inputs -> gradients match central differences", "[ops]") {
  Device& device = tests::device();
  auto const shape = GENERATE(Shape{1}, Shape{3, 5}, Shape{2, 3, 7, 11});
  tests::gradient_holds(device, tests::random(device, shape, Dtype::f64, 1),
                        [](Tape& t, Var const& v) { return relu(t, v); });
}
