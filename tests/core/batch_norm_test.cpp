#include "core/ops.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;
using tests::tensor;
using tests::values;

namespace {

BatchNorm fresh(Device& device, int64_t channels, Dtype wide) {
  BatchNorm norm{Tensor(device, {channels}, wide), Tensor(device, {channels}, wide)};
  device.kernels().fill(0, norm.running_mean);
  device.kernels().fill(1, norm.running_variance);
  return norm;
}

/// Outputs, gradients and running statistics of one batch normalization, for comparison.
struct Result {
  Tensor y, dx, dgain, dbias, dresidual, dslope, running_mean, running_variance;
};

struct Inputs {
  Tensor x, gain, bias, residual, dy;
  Tensor slope = {};
};

Inputs random_inputs(Device& device, Shape const& shape, Dtype dtype) {
  int64_t const channels = shape.back();
  return {tests::random(device, shape, dtype, 1), tests::random(device, {channels}, Dtype::f32, 2),
          tests::random(device, {channels}, Dtype::f32, 3), tests::random(device, shape, dtype, 4),
          tests::random(device, shape, dtype, 5)};
}

/// An activation, and whether a residual is added before it.
struct Kind {
  Activation activation;
  bool residual;
};
Kind any_kind() {
  return GENERATE(Kind{Activation::none, false}, Kind{Activation::none, true},
                  Kind{Activation::relu, false}, Kind{Activation::relu, true},
                  Kind{Activation::prelu, false});
}

Inputs inputs_of(Kind const& kind, Device& device, Shape const& shape, Dtype dtype) {
  Inputs in = random_inputs(device, shape, dtype);
  if (!kind.residual) in.residual = {};
  if (kind.activation == Activation::prelu)
    in.slope = tests::random(device, {shape.back()}, Dtype::f32, 6);
  return in;
}

Result run(Inputs const& in, Dtype dtype, Activation activation, BatchNorm::Gather gather = {}) {
  Dtype const wide = accumulator(dtype);
  BatchNorm norm = fresh(in.x.device(), in.x.size(-1), wide);
  norm.gather = std::move(gather);
  Tape tape;
  Var const x = tape.input(tests::as(in.x, dtype)), gain = tape.input(tests::as(in.gain, wide));
  Var const bias = tape.input(tests::as(in.bias, wide));
  Var const residual = in.residual ? tape.input(tests::as(in.residual, dtype)) : Var{};
  Var const slope = in.slope ? tape.input(tests::as(in.slope, wide)) : Var{};
  Var const y = batch_norm(tape, x, gain, bias, norm, activation, residual, slope);
  tape.backward(y, tests::as(in.dy, dtype));
  return {y.value,
          tape.grad(x),
          tape.grad(gain),
          tape.grad(bias),
          in.residual ? tape.grad(residual) : Tensor{},
          in.slope ? tape.grad(slope) : Tensor{},
          norm.running_mean,
          norm.running_variance};
}

}  // namespace

TEST_CASE("batch_norm: four numbers by hand -> output, gradients and running statistics",
          "[norm]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  auto const number = [&](double value) { return tensor(device, {1}, Dtype::f64, {value}); };
  Inputs const in{tensor(device, {4, 1}, dtype, {1, 2, 3, 6}),
                  number(2),
                  number(10),
                  {},
                  tensor(device, {4, 1}, dtype, {1, 0, 0, 0})};
  Result const r = run(in, dtype, Activation::none);
  // Mean 3, variance (4 + 1 + 0 + 9) / 4 = 3.5, unbiased 14 / 3; standard deviation d = 1.870829.
  double const d = std::sqrt(3.5);
  auto const close = [&](Tensor const& t, std::vector<double> const& exact) {
    return tests::distance(values(t), exact) < 1e-5 + (t.dtype() == Dtype::bf16 ? 4e-3 : 0);
  };
  CHECK(close(r.y, {10 - 4 / d, 10 - 2 / d, 10, 10 + 6 / d}));
  CHECK(close(r.running_mean, {0.3}));
  CHECK(close(r.running_variance, {0.9 + 0.1 * 14 / 3}));
  CHECK(close(r.dbias, {1}));
  CHECK(close(r.dgain, {-2 / d}));
  // dx = 2 / d (g - 1/4 - xhat (-2/d) / 4), xhat = (-2, -1, 0, 3) / d; 1 / d^2 = 2 / 7
  CHECK(close(r.dx, {2 / d * (0.75 - 2.0 / 7), 2 / d * (-0.25 - 1.0 / 7), 2 / d * -0.25,
                     2 / d * (-0.25 + 3.0 / 7)}));
}

TEST_CASE("batch_norm: inference -> uses the running statistics and does not change them",
          "[norm]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  BatchNorm norm = fresh(device, 1, accumulator(dtype));
  device.kernels().fill(2, norm.running_mean);
  device.kernels().fill(4, norm.running_variance);
  norm.epsilon = 0;
  Tape tape(Mode::inference);
  auto const number = [&](double value) {
    return tape.input(tensor(device, {1}, accumulator(dtype), {value}));
  };
  Var const x = tape.input(tensor(device, {3, 1}, dtype, {0, 2, 8}));
  Var const y = batch_norm(tape, x, number(3), number(1), norm);
  CHECK(values(y.value) == std::vector<double>{-2, 1, 10});
  CHECK(values(norm.running_mean) == std::vector<double>{2});
  CHECK(values(norm.running_variance) == std::vector<double>{4});
}

TEST_CASE("batch_norm: PReLU of four numbers by hand -> result and gradients", "[norm]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  auto const number = [&](double value) { return tensor(device, {1}, Dtype::f64, {value}); };
  // Mean 0, variance 1: xhat = x. z = 2 x + 1 = (-1, -1, 3, 3), g = (1, 0, 8, 0).
  Result const r = run({tensor(device, {4, 1}, dtype, {-1, -1, 1, 1}),
                        number(2),
                        number(1),
                        {},
                        tensor(device, {4, 1}, dtype, {4, 0, 8, 0}),
                        number(0.25)},
                       dtype, Activation::prelu);
  auto const close = [&](Tensor const& t, std::vector<double> const& exact) {
    return tests::distance(values(t), exact) < 2e-5 + (t.dtype() == Dtype::bf16 ? 4e-3 : 0);
  };
  CHECK(close(r.y, {-0.25, -0.25, 3, 3}));
  CHECK(close(r.dslope, {4 * -1}));
  CHECK(close(r.dbias, {1 + 8}));
  CHECK(close(r.dgain, {-1 + 8}));
  // dx = 2 (g - 9/4 - xhat 7/4)
  CHECK(close(r.dx, {1, -1, 8, -8}));
}

TEST_CASE(
    "batch_norm: f64 x, gain, bias, residual and slope -> gradients match central differences",
    "[norm]") {
  Device& device = tests::device();
  auto const shape = GENERATE(Shape{3, 1}, Shape{7, 5}, Shape{2, 3, 5, 3}, Shape{5, 16});
  Kind const kind = any_kind();
  Inputs const in = inputs_of(kind, device, shape, Dtype::f64);
  BatchNorm norm = fresh(device, shape.back(), Dtype::f64);
  auto const holds = [&](Tensor const Inputs::*chosen) {
    if (!(in.*chosen)) return;
    tests::gradient_holds(
        device, tests::as(in.*chosen, Dtype::f64),
        [&](Tape& t, Var const& v) {
          auto const of = [&](Tensor Inputs::*which) {
            if (which == chosen) return v;
            return in.*which ? Tape::constant(tests::as(in.*which, Dtype::f64)) : Var{};
          };
          return batch_norm(t, of(&Inputs::x), of(&Inputs::gain), of(&Inputs::bias), norm,
                            kind.activation, of(&Inputs::residual), of(&Inputs::slope));
        },
        1e-5, 1e-6);
  };
  for (auto const which :
       {&Inputs::x, &Inputs::gain, &Inputs::bias, &Inputs::residual, &Inputs::slope})
    holds(which);
}

TEST_CASE("batch_norm: f32 and bf16 inputs -> within rounding of f64", "[norm]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  auto const shape = GENERATE(Shape{33, 31}, Shape{257, 1}, Shape{3, 40, 41, 33}, Shape{64, 257},
                              Shape{33, 32}, Shape{17, 1032});
  Kind const kind = any_kind();
  Inputs const in = inputs_of(kind, device, shape, dtype);
  Result const got = run(in, dtype, kind.activation), exact = run(in, Dtype::f64, kind.activation);
  double const rounding = tests::tolerance(dtype), sums = tests::f32_reduction;
  CHECK(tests::distance(got.y, exact.y) < rounding);
  // Where z is within f32 rounding of 0, the activation may take the other side: the sums may lose
  // an element.
  double const loose = kind.activation == Activation::none ? 0 : 1e-3;
  CHECK(tests::distance(got.dx, exact.dx) < rounding + loose);
  CHECK(tests::distance(got.dgain, exact.dgain) < sums + loose);
  CHECK(tests::distance(got.dbias, exact.dbias) < sums + loose);
  CHECK(tests::distance(got.running_mean, exact.running_mean) < sums);
  CHECK(tests::distance(got.running_variance, exact.running_variance) < sums);
  if (in.residual) CHECK(tests::distance(got.dresidual, exact.dresidual) < rounding + loose);
  if (in.slope) CHECK(tests::distance(got.dslope, exact.dslope) < sums + loose);
}

TEST_CASE("batch_norm: x has a gradient already -> the sum of both", "[norm]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  Shape const shape{33, 24};
  Inputs const in = random_inputs(device, shape, dtype);
  BatchNorm norm = fresh(device, 24, accumulator(dtype));
  Tape tape;
  Var const x = tape.input(in.x);
  auto const constant = [&](Tensor const& t) {
    return Tape::constant(tests::as(t, accumulator(dtype)));
  };
  // The residual's gradient arrives at x first.
  Var const first = batch_norm(tape, x, constant(in.gain), constant(in.bias), norm);
  Var const y = add(tape, first, x);
  tape.backward(y, in.dy);
  Result const alone = run({in.x, in.gain, in.bias, {}, in.dy}, Dtype::f64, Activation::none);
  auto sum = values(alone.dx);
  auto const passed = values(in.dy);
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += passed[i];
  CHECK(tests::distance(values(tape.grad(x)), sum) < tests::tolerance(dtype));
}

TEST_CASE("batch_norm: signs of 16 and of 3 channels -> bits, and bytes", "[norm]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  auto const signs = [&](int64_t channels, std::vector<double> const& numbers) {
    Dtype const wide = accumulator(dtype);
    auto const filled = [&](double value) {
      return tensor(device, {channels}, wide, std::vector<double>(channels, value));
    };
    Tensor const x = tensor(device, {2, channels}, dtype, numbers);
    Tensor const residual = tensor(device, x.shape(), dtype, std::vector<double>(x.count(), -1));
    Tensor y = empty_like(x), stored(device, signs_shape(x.shape()), Dtype::u8);
    device.kernels().batch_norm({.mean = filled(0),
                                 .variance = filled(1),
                                 .epsilon = 0,
                                 .gain = filled(1),
                                 .bias = filled(0),
                                 .activation = Activation::relu},
                                x, residual, y, stored);
    return tests::bytes(stored);
  };
  CHECK(signs(16, {2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2,  //
                   0, 2, 2, 0, 0, 1, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2}) ==
        std::string("\x01\x80\x06\xFF", 4));
  CHECK(signs(3, {2, 0, 2, 1, 2, 0}) == std::string("\1\0\1\0\1\0", 6));
}

TEST_CASE("batch_norm: no rows -> empty results, zero gradients, unchanged running statistics",
          "[norm]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  Result const r = run(random_inputs(device, {0, 3}, dtype), dtype, Activation::relu);
  CHECK(r.y.shape() == Shape{0, 3});
  CHECK(r.dx.shape() == Shape{0, 3});
  CHECK(values(r.dgain) == std::vector<double>{0, 0, 0});
  CHECK(values(r.running_mean) == std::vector<double>{0, 0, 0});
  CHECK(values(r.running_variance) == std::vector<double>{1, 1, 1});
}

TEST_CASE("batch_norm: one rank's rows of a joint batch -> results of the whole batch", "[norm]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  Inputs const whole = random_inputs(device, {20, 7}, dtype);
  Result const exact = run(whole, dtype, Activation::none);
  // The other rank holds rows [13, 20). Its contribution to the gathered statistics is computed
  // here.
  Kernels& kernels = device.kernels();
  Dtype const wide = accumulator(dtype);
  Tensor const x = whole.x.rows(13, 20), dy = whole.dy.rows(13, 20);
  Tensor moments(device, {3, 7}, wide), sums(device, {2, 7}, wide), merged = empty_like(moments);
  BatchNorm scratch = fresh(device, 7, wide);
  Tensor all(device, {1, 3, 7}, wide);
  kernels.batch_statistics(whole.x, all);
  kernels.merge_statistics(all, 0.1, merged, scratch.running_mean, scratch.running_variance);
  kernels.batch_statistics(x, moments);
  Normalization const norm{merged.rows(1, 2).reshape({7}), merged.rows(2, 3).reshape({7}), 1e-5,
                           tests::as(whole.gain, wide), tests::as(whole.bias, wide)};
  kernels.batch_norm_backward_sums(norm, x, {}, dy, sums);
  auto const gather = [&](Tensor const& mine) {
    Tensor both(device, {2, mine.size(0), 7}, wide);
    Tensor first = both.rows(0, 1), second = both.rows(1, 2);
    device.copy(mine, first);
    device.copy(mine.size(0) == 3 ? moments : sums, second);
    return both;
  };
  Inputs const part{whole.x.rows(0, 13), whole.gain, whole.bias, whole.residual.rows(0, 13),
                    whole.dy.rows(0, 13)};
  Result const got = run(part, dtype, Activation::none, gather);
  CHECK(tests::distance(got.y, exact.y.rows(0, 13)) < tests::f32_reduction);
  CHECK(tests::distance(got.dx, exact.dx.rows(0, 13)) < tests::f32_reduction);
  CHECK(tests::distance(got.running_mean, exact.running_mean) < tests::f32_reduction);
  CHECK(tests::distance(got.running_variance, exact.running_variance) < tests::f32_reduction);
  // Gradients of gain and bias are partial sums: this rank's plus the other's equal the full
  // batch's.
  Tensor dgain = clone(got.dgain), dbias = clone(got.dbias);
  kernels.accumulate(1, sums.rows(1, 2).reshape({7}), dgain);
  kernels.accumulate(1, sums.rows(0, 1).reshape({7}), dbias);
  CHECK(tests::distance(dgain, exact.dgain) < tests::f32_reduction);
  CHECK(tests::distance(dbias, exact.dbias) < tests::f32_reduction);
}

TEST_CASE("batch_norm: wrong gain, residual or slope -> error with the shapes", "[norm]") {
  Device& device = tests::device();
  Tape tape;
  BatchNorm norm = fresh(device, 3, Dtype::f32);
  Var const x = tape.input(tests::random(device, {2, 3}, Dtype::f32, 1));
  Var const good = tape.input(tests::random(device, {3}, Dtype::f32, 1));
  Var const bad = tape.input(tests::random(device, {2}, Dtype::f32, 1));
  CHECK_THROWS_WITH(batch_norm(tape, x, bad, good, norm), Catch::StartsWith("batch_norm: x of"));
  CHECK_THROWS_WITH(batch_norm(tape, x, good, good, norm, Activation::none, good),
                    Catch::Contains("residual of shape (3)"));
  CHECK_THROWS_WITH(batch_norm(tape, x, good, good, norm, Activation::prelu, {}, bad),
                    Catch::Contains("slope of shape (2)"));
  CHECK_THROWS_WITH(batch_norm(tape, x, good, good, norm, Activation::prelu),
                    Catch::Contains("slopes are those of PReLU"));
  CHECK_THROWS_WITH(batch_norm(tape, x, good, good, norm, Activation::relu, {}, good),
                    Catch::Contains("slopes are those of PReLU"));
  CHECK_THROWS_WITH(batch_norm(tape, x, good, good, norm, Activation::prelu, x, good),
                    Catch::Contains("PReLU after a residual"));
}
