#include <limits>
#include "core/ops.h"
#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;
using tests::values;

namespace {

using Values = std::vector<double>;

Window const resnet{.size = {3, 3}, .stride = {2, 2}, .padding = {1, 1}};

/// The result of an op on x, and the gradient of x for dy.
template <class Op>
std::pair<Tensor, Tensor> both_ways(Op op, Tensor const& x, Values const& dy) {
  Tape tape;
  auto const in = tape.input(x);
  auto const out = op(tape, in);
  tape.backward(out, tests::tensor(x.device(), out.value.shape(), x.dtype(), dy));
  return {out.value, tape.grad(in)};
}

}  // namespace

TEST_CASE("max_pool: values by hand -> maxima; the gradient goes to the first of equals",
          "[pool]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f64, Dtype::f32, Dtype::bf16);
  // Negative, so that zero padding would win if it counted; the two values of -5 are equal.
  Tensor const x = tests::tensor(device, {1, 3, 3, 1}, dtype, {-9, -2, -3, -4, -5, -5, -7, -8, -1});
  auto const pool = [](Tape& tape, Var const& v) {
    return max_pool(tape, v, {.size = {2, 2}, .padding = {1, 1}});
  };
  auto const [y, dx] = both_ways(pool, x, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16});
  CHECK(values(y) == Values{-9, -2, -2, -3, -4, -2, -2, -3, -4, -4, -1, -1, -7, -7, -1, -1});
  CHECK(values(dx) ==
        Values{1, 2 + 3 + 6 + 7, 4 + 8, 5 + 9 + 10, 0, 0, 13 + 14, 0, 11 + 12 + 15 + 16});
}

TEST_CASE("max_pool: equal values, infinities, NaN, windows without pixels -> defined results",
          "[pool]") {
  Device& device = tests::device();
  Kernels& kernels = device.kernels();
  double const inf = std::numeric_limits<double>::infinity();
  auto const dtype = GENERATE(Dtype::f64, Dtype::f32, Dtype::bf16);
  auto const winner = [&](Values const& x, Window const& window) {
    Tensor y(device, {1, 1, window.out_width(static_cast<int64_t>(x.size())), 1}, dtype);
    Tensor where(device, y.shape(), Dtype::i32);
    kernels.max_pool(tests::tensor(device, {1, 1, static_cast<int64_t>(x.size()), 1}, dtype, x),
                     window, y, where);
    return std::pair{values(y), values(where)};
  };
  CHECK(winner({1, 3, 3, 2}, {.size = {1, 4}}) == std::pair{Values{3}, Values{1}});
  CHECK(winner({-inf, -inf}, {.size = {1, 2}}) == std::pair{Values{-inf}, Values{0}});
  CHECK(winner({-inf, inf}, {.size = {1, 2}}) == std::pair{Values{inf}, Values{1}});
  auto const [y, where] = winner({1, std::nan(""), 2}, {.size = {1, 3}});
  CHECK((std::isnan(y[0]) && where[0] == 1));
  Window const beside{.size = {1, 2}, .padding = {0, 1}, .dilation = {1, 3}};
  CHECK(winner({5, 6}, beside) == std::pair{Values{-inf}, Values{-1}});
}

TEST_CASE("average_pool: values by hand -> means that count padding", "[pool]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f64, Dtype::f32, Dtype::bf16);
  Tensor const x = tests::tensor(device, {1, 2, 2, 2}, dtype, {4, 1, 8, 2, 12, 3, 16, 4});
  auto const pool = [](Tape& tape, Var const& v) {
    return average_pool(tape, v, {.size = {2, 2}, .stride = {1, 2}, .padding = {1, 0}});
  };
  auto const [y, dx] = both_ways(pool, x, {4, 40, 8, 80, 12, 120});
  CHECK(values(y) == Values{3, 0.75, 10, 2.5, 7, 1.75});
  CHECK(values(dx) == Values{3, 30, 3, 30, 5, 50, 5, 50});
}

TEST_CASE("global_average_pool: values by hand -> means per channel", "[pool]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f64, Dtype::f32, Dtype::bf16);
  Tensor const x = tests::tensor(device, {2, 1, 2, 1}, dtype, {1, 2, 5, 7});
  auto const [y, dx] = both_ways(global_average_pool, x, {3, 5});
  CHECK(y.shape() == Shape{2, 1});
  CHECK(values(y) == Values{1.5, 6});
  CHECK(values(dx) == Values{1.5, 1.5, 2.5, 2.5});
}

TEST_CASE("pools: f32 and bf16 inputs -> within rounding of f64", "[pool]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  auto const shape = GENERATE(Shape{1, 1, 1, 1}, Shape{3, 7, 6, 31}, Shape{2, 8, 9, 257});
  Tensor const x = tests::random(device, shape, dtype, 1);
  auto const agree = [&](auto op, double bound) {
    Tape tape;
    auto const sizes = op(tape, tape.input(x)).value.shape();
    Tensor const dy = tests::random(device, sizes, dtype, 2);
    auto const fast = both_ways(op, x, values(dy));
    auto const exact = both_ways(op, tests::as(x, Dtype::f64), values(dy));
    CHECK(tests::distance(fast.first, exact.first) <= bound);
    CHECK(tests::distance(fast.second, exact.second) <= tests::tolerance(dtype));
  };
  agree([](Tape& tape, Var const& v) { return max_pool(tape, v, resnet); }, 0);
  agree([](Tape& tape, Var const& v) { return average_pool(tape, v, resnet); },
        tests::tolerance(dtype));
  agree(global_average_pool, tests::tolerance(dtype));
}

TEST_CASE("pools: f64 inputs -> gradients match central differences", "[pool][ops]") {
  Device& device = tests::device();
  auto const window =
      GENERATE(Window{resnet},
               Window{.size = {2, 3}, .stride = {1, 2}, .padding = {0, 1}, .dilation = {2, 1}});
  Tensor const x = tests::random(device, {2, 5, 6, 3}, Dtype::f64, 1);
  tests::gradient_holds(device, x, [&](Tape& t, Var const& v) { return max_pool(t, v, window); });
  tests::gradient_holds(device, x,
                        [&](Tape& t, Var const& v) { return average_pool(t, v, window); });
  tests::gradient_holds(device, x, global_average_pool);
}

TEST_CASE("pools: empty batch -> empty result", "[pool]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f64, Dtype::f32, Dtype::bf16);
  Tensor const x(device, {0, 7, 7, 5}, dtype);
  auto const most = [](Tape& tape, Var const& v) { return max_pool(tape, v, resnet); };
  auto const [y, dx] = both_ways(most, x, {});
  CHECK(y.shape() == Shape{0, 4, 4, 5});
  CHECK(dx.shape() == x.shape());
  auto const mean = both_ways(global_average_pool, x, {});
  CHECK(mean.first.shape() == Shape{0, 5});
  CHECK(mean.second.shape() == x.shape());
}

TEST_CASE("pools: wrong shapes -> error with the shapes", "[pool][ops]") {
  Device& device = tests::device();
  Tape tape;
  auto const x = tape.input(Tensor(device, {2, 4, 4, 3}, Dtype::f32));
  auto const flat = tape.input(Tensor(device, {2, 4}, Dtype::f32));
  using Catch::Contains;
  CHECK_THROWS_WITH(max_pool(tape, flat, {}), Contains("max_pool") && Contains("(2, 4)"));
  CHECK_THROWS_WITH(average_pool(tape, flat, {}), Contains("average_pool"));
  CHECK_THROWS_WITH(global_average_pool(tape, flat), Contains("global_average_pool"));
  CHECK_THROWS_WITH(max_pool(tape, x, {.size = {5, 5}}), Contains("no room"));
  CHECK_THROWS_WITH(max_pool(tape, x, {.size = {3, 3}, .padding = {2, 0}}), Contains("padding"));
}
