#include "comm/self.h"
#include "layers/head/column_parallel.h"
#include "layers/head/row_parallel.h"
#include "tests/support/ranks.h"
#include "tests/support/reference.h"

using core::Dtype;
using core::Tensor;
using layers::ColumnParallelLinear;
using layers::GatherOutput;
using layers::RowParallelLinear;
using tests::device;
using tests::distance;
using tests::world;

namespace {

/// Output and gradients of a linear layer.
struct Results {
  Tensor y, dx, dw, db;
};

struct Sizes {
  int64_t rows, in, out;
};

std::ostream& operator<<(std::ostream& stream, Sizes const& s) {
  return stream << s.rows << " x " << s.in << " to " << s.out;
}

/// Shapes with uneven parts, parts of size one, and empty parts.
Sizes const column_sizes[] = {{4, 5, 1}, {1, 5, 3}, {33, 7, 10}, {0, 5, 10}, {4, 1, 31}};
Sizes const row_sizes[] = {{4, 1, 5}, {1, 3, 5}, {33, 10, 7}, {0, 10, 5}, {4, 31, 1}};

/// Tolerance of each dtype. bf16: the partial products of the row-parallel layer are rounded
/// individually.
std::pair<Dtype, double> const dtypes[] = {
    {Dtype::f64, 1e-12}, {Dtype::f32, tests::f32_reduction}, {Dtype::bf16, tests::bf16_rounding}};

Results unsplit(Tensor const& x, Tensor const& w, Tensor const& b, Tensor const& dy) {
  core::Tape tape;
  auto const in = tape.input(x), weight = tape.input(tests::as(w, x.dtype()));
  auto const bias = b ? tape.input(b) : core::Var{};
  auto const y = linear(tape, in, weight, bias);
  tape.backward(y, dy);
  return {y.value, tape.grad(in), tape.grad(weight), b ? tape.grad(bias) : Tensor{}};
}

template <class L>
Results split(L& layer, Tensor const& x, Tensor const& dy) {
  core::Tape tape;
  auto const in = tape.input(x);
  auto const y = layer.forward(tape, in);
  tape.backward(y, dy);
  return {y.value, tape.grad(in), layer.weight().grad, layer.bias().grad};
}

/// The weight of the layer on a single rank.
template <class L>
Tensor whole_weight(Dtype dtype, typename L::Options const& options) {
  comm::Self self;
  return L({device(), dtype}, self, "fc", options).weight().value;
}

Tensor random(core::Shape const& shape, Dtype dtype, unsigned seed) {
  return tests::random(device(), shape, dtype, seed);
}

void check_column(Sizes const& s, bool bias, GatherOutput gather, Dtype dtype, double bound) {
  INFO(s << ", bias " << bias << ", gather " << int(gather) << ", " << dtype);
  ColumnParallelLinear::Options const options{
      .in = s.in, .out = s.out, .bias = bias, .init_std = 1, .gather_output = gather};
  ColumnParallelLinear layer({device(), dtype}, world(), "fc", options);
  int64_t const begin = layer.begin(), end = begin + layer.count();
  auto const w = whole_weight<ColumnParallelLinear>(dtype, options);
  auto const b = bias ? random({s.out}, core::accumulator(dtype), 1) : Tensor{};
  if (bias) device().copy(b.rows(begin, end), layer.bias().value);
  auto const x = random({s.rows, s.in}, dtype, 2), dy = random({s.rows, s.out}, dtype, 3);

  auto const mine = [&](Tensor const& t) { return layers::take_columns(t, begin, layer.count()); };
  bool const whole = gather == GatherOutput::yes;
  auto const expected = unsplit(x, w, b, dy);
  auto const got = split(layer, x, whole ? dy : mine(dy));
  CHECK(tests::values(layer.weight().value) == tests::values(w.rows(begin, end)));
  CHECK(distance(got.y, whole ? expected.y : mine(expected.y)) < bound);
  CHECK(distance(got.dx, expected.dx) < bound);
  CHECK(distance(got.dw, expected.dw.rows(begin, end)) < bound);
  if (bias) CHECK(distance(got.db, expected.db.rows(begin, end)) < bound);
  CHECK(layers::parameters(layer).size() == (bias ? 2 : 1));
}

void check_row(Sizes const& s, bool bias, Dtype dtype, double bound) {
  INFO(s << ", bias " << bias << ", " << dtype);
  RowParallelLinear::Options const options{.in = s.in, .out = s.out, .bias = bias, .init_std = 1};
  RowParallelLinear layer({device(), dtype}, world(), "fc", options);
  auto const w = whole_weight<RowParallelLinear>(dtype, options);
  auto const b = bias ? random({s.out}, core::accumulator(dtype), 1) : Tensor{};
  if (bias) device().copy(b, layer.bias().value);
  auto const x = random({s.rows, s.in}, dtype, 2), dy = random({s.rows, s.out}, dtype, 3);

  auto const mine = [&](Tensor const& t) {
    return layers::take_columns(t, layer.begin(), layer.count());
  };
  auto const expected = unsplit(x, w, b, dy);
  auto const got = split(layer, x, dy);
  CHECK(tests::values(layer.weight().value) == tests::values(mine(w)));
  CHECK(tests::values(layer.whole_weight()) == tests::values(w));
  CHECK(distance(got.y, expected.y) < bound);
  CHECK(distance(got.dx, expected.dx) < bound);
  CHECK(distance(got.dw, mine(expected.dw)) < bound);
  if (bias) CHECK(distance(got.db, expected.db) < bound);
  CHECK(layers::parameters(layer).size() == (bias ? 2 : 1));
}

}  // namespace

TEST_CASE("column-parallel linear: any shape -> equal to the unsplit layer", "[ranks]") {
  for (auto const& [dtype, bound] : dtypes)
    for (auto const& sizes : column_sizes)
      for (bool const bias : {false, true})
        for (auto const gather : {GatherOutput::no, GatherOutput::yes})
          check_column(sizes, bias, gather, dtype, bound);
}

TEST_CASE("row-parallel linear: any shape -> equal to the unsplit layer", "[ranks]") {
  for (auto const& [dtype, bound] : dtypes)
    for (auto const& sizes : row_sizes)
      for (bool const bias : {false, true}) check_row(sizes, bias, dtype, bound);
}

TEST_CASE("split linear: row- and column-parallel -> same initial weights", "[ranks]") {
  layers::Context const context{device(), Dtype::f32, 3};
  RowParallelLinear const row(context, world(), "a", {.in = 5, .out = 7});
  ColumnParallelLinear column(context, world(), "b", {.in = 5, .out = 7});
  auto const all = row.whole_weight();
  CHECK(tests::values(column.weight().value) ==
        tests::values(all.rows(column.begin(), column.begin() + column.count())));
}

TEST_CASE("split linear: constant input -> weights still receive gradients", "[ranks]") {
  auto const x = random({4, 5}, Dtype::f64, 1);
  ColumnParallelLinear column({device(), Dtype::f64}, world(), "a", {.in = 5, .out = 7});
  RowParallelLinear row({device(), Dtype::f64}, world(), "b", {.in = 5, .out = 7});
  core::Tape tape;
  auto const in = core::Tape::constant(x);
  tape.backward(column.forward(tape, in), random({4, column.count()}, Dtype::f64, 2));
  tape.backward(row.forward(tape, in), random({4, 7}, Dtype::f64, 2));
  CHECK(column.weight().grad.shape() == core::Shape{column.count(), 5});
  CHECK(row.weight().grad.shape() == core::Shape{7, row.count()});
}

TEST_CASE("gather_columns: columns of each rank -> concatenated in rank order", "[ranks]") {
  int const ranks = world().size();
  comm::Counts counts;
  for (int rank = 0; rank < ranks; ++rank) counts.push_back((rank * 2 + 1) % 4 % 3);
  int64_t const columns = comm::begin_of(counts, ranks);
  for (auto const dtype : {Dtype::f32, Dtype::f64, Dtype::bf16}) {
    auto const all = random({3, columns}, dtype, 4);
    auto const mine = layers::take_columns(all, comm::begin_of(counts, world().rank()),
                                           counts[static_cast<size_t>(world().rank())]);
    CHECK(tests::values(layers::gather_columns(world(), mine, counts)) == tests::values(all));
  }
}
