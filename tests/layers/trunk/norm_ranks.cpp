#include "comm/self.h"
#include "layers/trunk/norm.h"
#include "layers/trunk/running_statistics.h"
#include "layers/trunk/trunk.h"
#include "tests/support/ranks.h"
#include "tests/support/reference.h"

using core::Dtype;
using core::Tensor;
using layers::Context;
using tests::device;
using tests::distance;
using tests::world;

namespace {

/// Merges the statistics of all ranks, as the trainer does for `batch_norm: sync`.
Context synchronous(Dtype dtype) {
  return {device(), dtype, 1, [](Tensor const& mine) {
            core::Shape shape = mine.shape();
            shape.insert(shape.begin(), world().size());
            Tensor all(mine.device(), shape, mine.dtype());
            world().all_gather(mine, all)->wait();
            return all;
          }};
}

/// The rows of this rank, uneven: with two or more ranks, one has none.
std::pair<int64_t, int64_t> my_rows() {
  comm::Counts const deals[] = {{9}, {9, 0}, {5, 0, 4}, {1, 0, 6, 2}};
  auto const& counts = deals[world().size() - 1];
  return {comm::begin_of(counts, world().rank()), comm::begin_of(counts, world().rank() + 1)};
}

/// Output and all gradients of a layer for a batch.
struct Results {
  Tensor y, dx;
  std::vector<core::Parameter*> parameters;
};

template <class F>
Results run(layers::Layer& layer, Tensor const& x, Tensor const& dy, F const& forward) {
  core::Tape tape;
  auto const in = tape.input(x);
  auto const y = forward(tape, in);
  tape.backward(y, dy);
  return {y.value, tape.grad(in), layers::parameters(layer)};
}

/// Checks that a rank's rows through `split` equal those rows of the global batch through `whole`,
/// that the parameters' gradients sum to those of `whole`, and that the running statistics are
/// equal.
template <class F>
void check_equal(layers::Layer& split, layers::Layer& whole, Tensor const& x, Tensor const& dy,
                 F const& forward, double bound) {
  auto const [begin, end] = my_rows();
  auto const mine = run(split, clone(x.rows(begin, end)), clone(dy.rows(begin, end)),
                        [&](auto& tape, auto const& v) { return forward(split, tape, v); });
  auto const all =
      run(whole, x, dy, [&](auto& tape, auto const& v) { return forward(whole, tape, v); });
  CHECK(distance(mine.y, all.y.rows(begin, end)) < bound);
  CHECK(distance(mine.dx, all.dx.rows(begin, end)) < bound);
  for (size_t i = 0; i < mine.parameters.size(); ++i) {
    auto const& p = *mine.parameters[i];
    INFO(p.name);
    CHECK(distance(p.value, all.parameters[i]->value) < bound);
    if (!p.trainable()) continue;
    Tensor sum = clone(p.grad);
    world().all_reduce(sum, comm::Reduce::sum)->wait();
    CHECK(distance(sum, all.parameters[i]->grad) < bound);
  }
}

auto const plain = [](layers::Layer& layer, core::Tape& tape, core::Var const& x) {
  return layer.forward(tape, x);
};

}  // namespace

TEST_CASE("synchronous batch norm: several ranks -> equal to one rank with the global batch",
          "[ranks]") {
  for (auto const& [dtype, bound] :
       {std::pair(Dtype::f64, 1e-12), std::pair(Dtype::f32, tests::f32_reduction)}) {
    for (auto const activation : {core::Activation::none, core::Activation::relu}) {
      layers::BatchNorm split(synchronous(dtype), "bn", 5, activation);
      layers::BatchNorm whole({device(), dtype}, "bn", 5, activation);
      auto const x = tests::random(device(), {9, 2, 3, 5}, dtype, 1),
                 dy = tests::random(device(), {9, 2, 3, 5}, dtype, 2);
      check_equal(split, whole, x, dy, plain, bound);
      // Second pass: the running statistics have changed.
      check_equal(split, whole, dy, x, plain, bound);
    }
  }
}

TEST_CASE("synchronous batch norm: small trunk on several ranks -> equal to one rank", "[ranks]") {
  core::ImageShape const image{12, 9, 2};
  layers::SmallTrunk const options{.width = 2, .features = 3};
  auto const split = make_trunk(synchronous(Dtype::f64), options, image);
  auto const whole = make_trunk({device(), Dtype::f64}, options, image);
  auto const x = tests::random(device(), {9, 12, 9, 2}, Dtype::f64, 1),
             dy = tests::random(device(), {9, 3}, Dtype::f64, 2);
  check_equal(*split, *whole, x, dy, plain, 1e-11);  // ten normalizations in sequence
}

TEST_CASE("local batch norm: several ranks -> statistics of the own rows", "[ranks]") {
  layers::BatchNorm split({device(), Dtype::f64}, "bn", 5), whole({device(), Dtype::f64}, "bn", 5);
  auto const [begin, end] = my_rows();
  auto const x = tests::random(device(), {9, 5}, Dtype::f64, 1);
  auto const mine = clone(x.rows(begin, end));
  core::Tape a, b;
  auto const y = split.forward(a, core::Tape::constant(mine)).value;
  auto const z = whole.forward(b, core::Tape::constant(x)).value;
  CHECK(y.size(0) == end - begin);
  if (end - begin > 0 && end - begin < 9) CHECK(distance(y, z.rows(begin, end)) > 1e-3);
}

TEST_CASE("running statistics: average -> mean over the ranks", "[ranks]") {
  layers::BatchNorm one({device()}, "a", 3), two({device()}, "b", 5);
  auto all = layers::parameters(one);
  for (auto* p : layers::parameters(two)) all.push_back(p);
  auto& kernels = device().kernels();
  for (size_t i = 0; i < all.size(); ++i)
    kernels.fill(double(i + 1) * (world().rank() + 1), all[i]->value);
  layers::RunningStatistics(world(), all).average();
  double const mean_rank = (world().size() + 1) / 2.0;
  for (size_t i = 0; i < all.size(); ++i) {
    bool const averaged = all[i]->role == core::Role::statistics;
    double const expected = double(i + 1) * (averaged ? mean_rank : world().rank() + 1);
    for (double const value : tests::values(all[i]->value)) CHECK(value == Approx(expected));
  }
}
