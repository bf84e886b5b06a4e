#include "core/ops.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;
using tests::values;

namespace {

using Values = std::vector<double>;

/// The result y and the gradients for dy.
struct Result {
  Tensor y, dx, dw, dbias;
  Result(Tensor const& x, Tensor const& w, Tensor const& bias, Tensor const& dy) {
    Tape tape;
    auto const in = tape.input(x), weights = tape.input(w), offset = tape.input(bias);
    auto const out = linear(tape, in, weights, offset);
    tape.backward(out, dy);
    y = out.value;
    dx = tape.grad(in);
    dw = tape.grad(weights);
    dbias = tape.grad(offset);
  }
};

}  // namespace

TEST_CASE("linear: values by hand -> result and gradients", "[linear]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f64, Dtype::f32, Dtype::bf16);
  if (!tests::can_multiply(device, dtype)) return;
  Result const result(tests::tensor(device, {2, 3}, dtype, {1, 2, 3, 4, 5, 6}),
                      tests::tensor(device, {2, 3}, dtype, {1, 0, -1, 2, 1, 0}),
                      tests::tensor(device, {2}, accumulator(dtype), {10, 20}),
                      tests::tensor(device, {2, 2}, dtype, {1, 2, 3, -1}));
  CHECK(values(result.y) == Values{8, 24, 8, 33});
  CHECK(values(result.dx) == Values{5, 2, -1, 1, -1, -3});
  CHECK(values(result.dw) == Values{13, 17, 21, -2, -1, 0});
  CHECK(values(result.dbias) == Values{4, 1});
  CHECK(result.dw.dtype() == accumulator(dtype));
}

TEST_CASE("linear: f32 and bf16 inputs -> within rounding of f64", "[linear]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  if (!tests::can_multiply(device, dtype)) return;
  auto const [n, in, out] = GENERATE(std::tuple{1, 1, 1}, std::tuple{33, 257, 31},
                                     std::tuple{255, 32, 33}, std::tuple{0, 5, 3});
  Tensor const x = tests::random(device, {n, in}, dtype, 1);
  Tensor const w = tests::random(device, {out, in}, dtype, 2);
  Tensor const bias = tests::random(device, {out}, Dtype::f32, 3);
  Tensor const dy = tests::random(device, {n, out}, dtype, 4);
  auto const wide = [](Tensor const& t) { return tests::as(t, Dtype::f64); };
  Result const fast(x, w, bias, dy), exact(wide(x), wide(w), wide(bias), wide(dy));
  CHECK(tests::distance(fast.y, exact.y) <= tests::tolerance(dtype));
  CHECK(tests::distance(fast.dx, exact.dx) <= tests::tolerance(dtype));
  CHECK(tests::distance(fast.dw, exact.dw) <= tests::f32_reduction);
  CHECK(tests::distance(fast.dbias, exact.dbias) <= tests::f32_reduction);
}

TEST_CASE("linear: f64 inputs -> gradients match central differences", "[linear][ops]") {
  Device& device = tests::device();
  Tensor const x = tests::random(device, {3, 5}, Dtype::f64, 1);
  Tensor const w = tests::random(device, {4, 5}, Dtype::f64, 2);
  Tensor const bias = tests::random(device, {4}, Dtype::f64, 3);
  auto const constant = [](Tensor const& t) { return Tape::constant(t); };
  tests::gradient_holds(device, x, [&](Tape& tape, Var const& v) {
    return linear(tape, v, constant(w), constant(bias));
  });
  tests::gradient_holds(device, w,
                        [&](Tape& tape, Var const& v) { return linear(tape, constant(x), v, {}); });
  tests::gradient_holds(device, bias, [&](Tape& tape, Var const& v) {
    return linear(tape, constant(x), constant(w), v);
  });
}

TEST_CASE("linear: wrong shapes -> error with the shapes", "[linear][ops]") {
  Device& device = tests::device();
  Tape tape;
  auto const input = [&](Shape shape, Dtype dtype = Dtype::f32) {
    return tape.input(Tensor(device, std::move(shape), dtype));
  };
  using Catch::Contains;
  auto const x = input({2, 3});
  CHECK_THROWS_WITH(linear(tape, input({2, 3, 1}), input({4, 3}), {}), Contains("(2, 3, 1)"));
  CHECK_THROWS_WITH(linear(tape, x, input({4, 2}), {}),
                    Contains("linear") && Contains("(2, 3)") && Contains("(4, 2)"));
  CHECK_THROWS_WITH(linear(tape, x, input({4, 3}), input({3})), Contains("bias"));
  CHECK_THROWS_WITH(linear(tape, x, input({4, 3}, Dtype::bf16), {}), Contains("bf16"));
}
