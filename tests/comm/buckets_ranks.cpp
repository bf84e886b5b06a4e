#include <numeric>
#include "comm/buckets.h"
#include "tests/support/ranks.h"
#include "tests/support/reference.h"

using Catch::Contains;
using comm::GradientBuckets;
using comm::Reduce;
using core::Dtype;
using core::Parameter;
using core::Tensor;

namespace {

std::vector<core::Shape> const odd_shapes{{33, 3}, {1}, {257}, {7, 5, 3, 3}, {2}, {0}, {31}};

std::vector<Parameter> make(std::vector<core::Shape> const& shapes, Dtype dtype = Dtype::f32) {
  std::vector<Parameter> parameters(shapes.size());
  for (size_t i = 0; i < shapes.size(); ++i) {
    parameters[i].name = core::join("p", i);
    parameters[i].value = Tensor(tests::device(), shapes[i], dtype);
  }
  return parameters;
}

std::vector<Parameter*> pointers(std::vector<Parameter>& parameters) {
  std::vector<Parameter*> all;
  for (Parameter& p : parameters) all.push_back(&p);
  return all;
}

/// The gradient of parameter `p` on `rank` in step `step`.
Tensor gradient(Parameter const& p, int rank, int step) {
  auto const seed = static_cast<unsigned>(rank + 100 * step + 1000 * (p.name.back() - '0'));
  return tests::random(tests::device(), p.value.shape(), p.value.dtype(), seed);
}

/// Simulates backward: sets the gradient and calls `ready`.
void give(Parameter& p, int step) {
  p.grad = gradient(p, tests::world().rank(), step);
  p.ready(p);
}

void check_sums(std::vector<Parameter> const& parameters, int step) {
  for (Parameter const& p : parameters) {
    Tensor plain = gradient(p, tests::world().rank(), step);
    tests::world().all_reduce(plain, Reduce::sum)->wait();
    CHECK(p.grad.shape() == p.value.shape());
    CHECK(tests::values(p.grad) == tests::values(plain));
  }
}

}  // namespace

TEST_CASE("gradient buckets: any bucket size -> bitwise equal to a plain all_reduce", "[ranks]") {
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  // 1 byte: one parameter per bucket. 500: p0 (396 bytes) with p1; p2 and p3 are larger than a
  // bucket.
  size_t const bytes = GENERATE(size_t{1}, size_t{500}, size_t{1} << 22);
  auto parameters = make(odd_shapes, dtype);
  GradientBuckets buckets(tests::world(), pointers(parameters), bytes);
  for (int step = 0; step < 3; ++step) {
    for (auto p = parameters.rbegin(); p != parameters.rend(); ++p) give(*p, step);
    buckets.finish();
    check_sums(parameters, step);
  }
}

TEST_CASE("gradient buckets: different order of gradients on each rank -> same sums", "[ranks]") {
  auto parameters = make(odd_shapes);
  GradientBuckets buckets(tests::world(), pointers(parameters), 500);
  for (int step = 0; step < 4; ++step) {
    std::vector<size_t> order(parameters.size());
    std::iota(order.begin(), order.end(), 0U);
    std::mt19937 shuffle(static_cast<unsigned>(10 * tests::world().rank() + step));
    std::shuffle(order.begin(), order.end(), shuffle);
    for (size_t const p : order) give(parameters[p], step);
    buckets.finish();
    check_sums(parameters, step);
  }
}

TEST_CASE("gradient buckets: parameters of two dtypes -> separate buckets", "[ranks]") {
  auto parameters = make({{3}, {4}, {5}});
  parameters[1].value = Tensor(tests::device(), {4}, Dtype::f64);
  GradientBuckets buckets(tests::world(), pointers(parameters));
  for (Parameter& p : parameters) give(p, 0);
  buckets.finish();
  check_sums(parameters, 0);
}

TEST_CASE("gradient buckets: gradient tensor shared by two parameters -> not modified", "[ranks]") {
  auto parameters = make({{5}, {5}});
  GradientBuckets buckets(tests::world(), pointers(parameters));
  Tensor const shared = gradient(parameters[0], tests::world().rank(), 0);
  auto const before = tests::values(shared);
  for (Parameter& p : parameters) {
    p.grad = shared;
    p.ready(p);
  }
  buckets.finish();
  CHECK(tests::values(shared) == before);
  check_sums({parameters[0]}, 0);
  CHECK(tests::values(parameters[1].grad) == tests::values(parameters[0].grad));
}

TEST_CASE("gradient buckets: statistics -> no hook, not reduced", "[ranks]") {
  auto parameters = make({{3}, {4}});
  parameters[1].role = core::Role::statistics;
  GradientBuckets buckets(tests::world(), pointers(parameters));
  CHECK_FALSE(parameters[1].ready);
  give(parameters[0], 0);
  buckets.finish();
  check_sums({parameters[0]}, 0);
}

TEST_CASE("gradient buckets: missing gradient -> finish throws and names the parameter",
          "[ranks]") {
  auto parameters = make({{3}, {4}, {5}});
  GradientBuckets buckets(tests::world(), pointers(parameters), 1);
  give(parameters[2], 0);
  give(parameters[0], 0);
  CHECK_THROWS_WITH(buckets.finish(), Contains("missing gradient of p1"));
}

TEST_CASE("gradient buckets: second gradient in one step -> throws and names the parameter",
          "[ranks]") {
  auto parameters = make({{3}, {4}});
  GradientBuckets buckets(tests::world(), pointers(parameters));
  give(parameters[1], 0);
  CHECK_THROWS_WITH(give(parameters[1], 0),
                    Contains("gradient 2 of p1 in one step; backward passes per step: 1"));
}

TEST_CASE("gradient buckets: gradient of another shape than its parameter -> throws", "[ranks]") {
  if (tests::world().size() == 1) return;  // with one rank nothing is copied or checked
  auto parameters = make({{3, 2}});
  GradientBuckets buckets(tests::world(), pointers(parameters));
  parameters[0].grad = Tensor(tests::device(), {6}, Dtype::f32);
  CHECK_THROWS_WITH(parameters[0].ready(parameters[0]), Contains("gradient of p0 is f32 (6)"));
}

TEST_CASE("gradient buckets: destructor -> waits and removes the hooks", "[ranks]") {
  auto parameters = make(odd_shapes);
  {
    GradientBuckets buckets(tests::world(), pointers(parameters), 1);
    CHECK_THROWS_WITH(GradientBuckets(tests::world(), pointers(parameters)),
                      Contains("already has a ready hook"));
    for (Parameter& p : parameters) give(p, 0);
  }
  for (Parameter const& p : parameters) CHECK_FALSE(p.ready);
}

TEST_CASE("gradient buckets: backward on a tape -> gradients are summed over ranks", "[ranks]") {
  auto parameters = make({{2}, {2}});
  core::Tape tape;
  GradientBuckets buckets(tests::world(), pointers(parameters));
  for (Parameter& p : parameters) p.compute = p.value;
  auto const a = tape.parameter(parameters[0]), b = tape.parameter(parameters[1]);
  auto const y = tape.record(a.value, [&](Tensor const& dy) {
    tape.add_grad(a, dy);
    tape.add_grad(b, dy);
  });
  double const rank = tests::world().rank(), size = tests::world().size();
  tape.backward(y, tests::tensor<float>(tests::device(), {2}, {rank, 1}));
  buckets.finish();
  for (Parameter const& p : parameters)
    CHECK(tests::values(p.grad) == std::vector<double>{size * (size - 1) / 2, size});
}

TEST_CASE("gradient buckets: several backward passes -> sum over passes, then over ranks",
          "[ranks]") {
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  size_t const bytes = GENERATE(size_t{1}, size_t{1} << 22);
  auto parameters = make(odd_shapes, dtype);
  GradientBuckets buckets(tests::world(), pointers(parameters), bytes);
  // The number of passes changes from step to step, and may return to one.
  for (int const shares : {3, 1, 2}) {
    buckets.begin(shares);
    std::vector<Tensor> sums;
    for (int share = 0; share < shares; ++share)
      for (auto p = parameters.rbegin(); p != parameters.rend(); ++p) give(*p, share);
    buckets.finish();
    for (Parameter const& p : parameters) {
      Tensor sum = gradient(p, tests::world().rank(), 0);
      for (int share = 1; share < shares; ++share)
        tests::device().kernels().accumulate(1, gradient(p, tests::world().rank(), share), sum);
      tests::world().all_reduce(sum, Reduce::sum)->wait();
      CHECK(p.grad.shape() == p.value.shape());
      CHECK(tests::values(p.grad) == tests::values(sum));
    }
  }
}

TEST_CASE("gradient buckets: shared gradient tensor in two backward passes -> not modified",
          "[ranks]") {
  auto parameters = make({{5}, {5}});
  GradientBuckets buckets(tests::world(), pointers(parameters));
  Tensor const shared = gradient(parameters[0], tests::world().rank(), 0);
  auto const before = tests::values(shared);
  buckets.begin(2);
  for (int share = 0; share < 2; ++share)
    for (Parameter& p : parameters) {
      p.grad = shared;
      p.ready(p);
    }
  buckets.finish();
  CHECK(tests::values(shared) == before);
  CHECK(tests::values(parameters[1].grad) == tests::values(parameters[0].grad));
}

TEST_CASE("gradient buckets: zero, too many or too few backward passes -> throws", "[ranks]") {
  auto parameters = make({{3}, {4}});
  GradientBuckets buckets(tests::world(), pointers(parameters), 1);
  CHECK_THROWS_WITH(buckets.begin(0), Contains("gradient accumulation over 0 backward passes"));
  buckets.begin(2);
  for (int share = 0; share < 2; ++share) give(parameters[1], share);
  CHECK_THROWS_WITH(give(parameters[1], 2),
                    Contains("gradient 3 of p1 in one step; backward passes per step: 2"));
  give(parameters[0], 0);
  CHECK_THROWS_WITH(buckets.finish(), Contains("gradient of p0") && Contains("1 of 2"));
}
