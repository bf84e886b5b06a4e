#include "tests/support/softmax.h"
#include "tests/kernels/simulated.h"

using namespace core;
using namespace tests::kernels;
using tests::values;
using tests::host_cuda::all_orders;
using tests::host_cuda::Under;
using tests::softmax::Case;
using tests::softmax::rounded;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// Copies of the tensors at addresses that do not allow packs.
Case apart(Case c) {
  for (auto* t : {&c.z, &c.chunk.bias, &c.chunk.weights})
    if (*t) *t = unaligned(*t);
  return c;
}

/// Statistics of five rows after earlier chunks.
Tensor seen(Device& device, Dtype dtype) {
  return tests::tensor(device, {5, 6}, dtype, {-9,        2, 0, 0.5, 0, 0,  //
                                               30,        1, 0, 0,   0, 0,  //
                                               -infinity, 0, 0, 0,   0, 0,  //
                                               0.5,       1, 7, 2,   1, 3,  //
                                               -infinity, 0, 0, 0,   0, 0});
}

/// Results of every kernel that passes over a chunk, in one dtype. `margin`: columns of the matrix
/// of exponentials on either side of the chunk; they must not change.
struct Passes {
  Tensor stats, after, reference, e, aligned, sums, stored, gradient, factors, targets;

  Passes(Kernels& k, Case const& c, Tensor const& before, Tensor const& rows, Dtype dtype,
         int64_t margin = 0)
      : stats(clone(before)),
        after(clone(before)),
        reference(c.z.device(), {c.z.size(0)}, c.z.dtype()),
        e(c.z.device(), {c.z.size(0), c.z.size(1) + 2 * margin}, dtype),
        sums(c.z.device(), {c.z.size(0), 3}, c.z.dtype()),
        gradient(c.z.device(), c.z.shape(), dtype),
        factors(empty_like(reference)) {
    int64_t const n = c.z.size(1);
    Tensor tiles(c.z.device(), {math::tiles_of(n), c.z.size(0), 3}, c.z.dtype());
    k.softmax_statistics(c.rule, c.chunk, c.labels, c.z, stats, tiles);
    k.softmax_merge_tiles(tiles, stats);
    k.softmax_reference(c.rule, c.chunk, c.labels, c.z, reference);
    k.fill(0.25, e);
    Columns part(e, margin, n);
    k.softmax_exponentials(c.rule, c.chunk, c.labels, c.z, reference, after, tiles, part);
    k.softmax_merge_tiles(tiles, after);
    aligned = clone(e);
    k.fill(0.5, sums);
    Columns aligned_part(aligned, margin, n);
    k.softmax_align(rows, n, tiles, reference, aligned_part, sums);
    stored = clone(aligned);
    Columns stored_part(stored, margin, n);
    k.softmax_gradient_stored(c.rule, c.chunk, c.labels, reference, rows, stored_part);
    k.softmax_factors(rows, reference, factors);
    targets = clone(aligned);
    Columns targets_part(targets, margin, n);
    k.softmax_targets(c.chunk.first, c.labels, rows, factors, targets_part);
    k.softmax_gradient(c.rule, c.chunk, c.labels, c.z, rows, gradient);
  }
  std::array<Tensor, 10> all() const {
    return {stats, after, reference, e, aligned, sums, stored, gradient, factors, targets};
  }
};

/// lse and factors per row; one row has factor 0 and lse NaN, which must not matter. `lift`: logits
/// that are higher than usual by this much.
Tensor some_rows(Device& device, Dtype dtype, double lift = 0) {
  return tests::tensor(device, {5, 4}, dtype, {9 + lift,  0.2, 0.01, -0.1,  //
                                               31 + lift, 0.2, 0.01, -0.2,  //
                                               NAN,       0,   0,    0,     //
                                               10 + lift, 0.1, 0.02, 0.3,   //
                                               9 + lift,  0.3, 0,    -0.1});
}

void agree(Gpu& gpu, Case const& c, Dtype dtype, double lift = 0) {
  Dtype const wide = c.z.dtype();
  Tensor const before = seen(gpu.device, wide), rows = some_rows(gpu.device, wide, lift);
  for (int64_t const margin : {0, 8}) {
    Passes const fast(gpu.kernels, c, before, rows, dtype, margin),
        moved(gpu.kernels, apart(c), before, rows, dtype, margin);
    Passes const exact(gpu.cpu, rounded(c, Dtype::f64), tests::as(before, Dtype::f64),
                       tests::as(rows, Dtype::f64), Dtype::f64, margin);
    auto const got = fast.all(), want = exact.all(), other = moved.all();
    for (size_t i = 0; i < got.size(); ++i) {
      CAPTURE(i, margin);
      bool const narrow = got[i].dtype() == Dtype::bf16;
      CHECK(tests::distance(got[i], want[i]) < (narrow ? 4e-3 : tests::f32_reduction));
      CHECK(equal(other[i], got[i]));  // bits do not depend on addresses
    }
  }
}

Tensor begun(Kernels& kernels, Device& device, int64_t rows, Dtype dtype) {
  Tensor stats(device, {rows, 6}, dtype);
  kernels.softmax_begin(stats);
  return stats;
}

}  // namespace

TEST_CASE("CUDA softmax_begin: every row count -> initial statistics", "[kernels][softmax]") {
  Gpu gpu;
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  for (int64_t const rows : {0, 1, 257})
    CHECK(equal(begun(gpu.kernels, gpu.device, rows, dtype),
                begun(gpu.cpu, gpu.device, rows, dtype)));
}

TEST_CASE("CUDA softmax passes: every rule -> within rounding of f64", "[kernels][softmax]") {
  Gpu gpu;
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  auto const classes = GENERATE(int64_t{32}, int64_t{257}, int64_t{4099});
  Under const under(GENERATE(from_range(all_orders())));
  int64_t const first = (int64_t{1} << 33) + 5;
  for (auto& [name, c] : tests::softmax::cases(gpu.device, 5, classes, first, accumulator(dtype))) {
    CAPTURE(name, classes);
    if (c.rule.hardness && c.rule.sum_logits) continue;
    agree(gpu, c, dtype);
    c.chunk.first += classes;  // all targets are below this chunk, except that of the last row,
                               // which is above
    c.labels = integers(gpu.device, {first, first, -1, first, first + 2 * classes});
    agree(gpu, c, dtype);
  }
}

TEST_CASE("CUDA softmax passes: logits out of reach of their row's reference -> aligned as by f64",
          "[kernels][softmax]") {
  Gpu gpu;
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64, Dtype::bf16);
  auto const height = GENERATE(59.0, 61.0, 500.0);
  Under const under(GENERATE(from_range(all_orders())));
  Dtype const wide = accumulator(dtype);
  // Three tiles; the second has the largest logits of the first two rows, the third of the third.
  std::vector<double> z = values(tests::random(gpu.device, {5, 9000}, Dtype::f64, 1));
  for (size_t const at : {size_t{5000}, size_t{9000 + 8191}, size_t{18000 + 8192}}) z[at] += height;
  Case c{.z = tests::tensor(gpu.device, {5, 9000}, wide, z),
         .labels = integers(gpu.device, {5000, 4, -1, 0, 8999})};
  agree(gpu, c, dtype, height);
}

TEST_CASE("CUDA softmax_align: any barrier removed -> wrong result in some order",
          "[kernels][softmax]") {
  Gpu gpu;
  auto const right = [&](unsigned run) {
    // 40,000 classes: ten tiles, of which every second is out of reach.
    Tensor z = tests::random(gpu.device, {2, 40'000}, Dtype::f32, run + 1);
    auto numbers = values(z);
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] += i / 4096 % 2 ? 100 : 0;
    Case const c{.z = tests::tensor(gpu.device, z.shape(), Dtype::f32, numbers),
                 .labels = integers(gpu.device, {4, -1})};
    Tensor const rows = some_rows(gpu.device, Dtype::f32, 100).rows(0, 2);
    auto const before = [&](Dtype dtype) { return begun(gpu.cpu, gpu.device, 2, dtype); };
    Passes const fast(gpu.kernels, c, before(Dtype::f32), rows, Dtype::f32),
        exact(gpu.cpu, rounded(c, Dtype::f64), before(Dtype::f64), tests::as(rows, Dtype::f64),
              Dtype::f64);
    return tests::distance(fast.aligned, exact.aligned) < tests::f32_reduction &&
           tests::distance(fast.sums, exact.sums) < tests::f32_reduction &&
           tests::distance(fast.factors, exact.factors) < tests::f32_reduction;
  };
  CHECK(tests::host_cuda::unnoticed_barriers(right).empty());
}

TEST_CASE("CUDA softmax passes: odd sizes -> within rounding of f64", "[kernels][softmax]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  auto const classes = GENERATE(int64_t{64}, int64_t{9000}, from_range(odd_sizes));
  for (auto const& [name, c] : tests::softmax::cases(gpu.device, 5, classes, 100, Dtype::f32)) {
    if (name != "all of them") continue;
    agree(gpu, c, dtype);
  }
}

TEST_CASE("CUDA softmax passes: no classes, no rows, rows of -inf, not finite -> same as the CPU",
          "[kernels][softmax]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  auto const same = [&](Tensor const& z, Tensor const& before) {
    auto const rows = z.size(0);
    Case const c{.z = z, .labels = integers(gpu.device, std::vector<int64_t>(size_t(rows), 3))};
    Tensor const factors = some_rows(gpu.device, dtype).rows(0, rows);
    auto const fast = Passes(gpu.kernels, c, before, factors, dtype).all(),
               exact = Passes(gpu.cpu, c, before, factors, dtype).all();
    return std::ranges::equal(fast, exact, equal);
  };
  CHECK(same(Tensor(gpu.device, {5, 0}, dtype), seen(gpu.device, dtype)));
  CHECK(same(Tensor(gpu.device, {0, 5}, dtype), Tensor(gpu.device, {0, 6}, dtype)));
  Tensor z(gpu.device, {5, 4097}, dtype);
  gpu.kernels.fill(-infinity, z);
  CHECK(same(z, seen(gpu.device, dtype)));
  CHECK(same(z, begun(gpu.cpu, gpu.device, 5, dtype)));
  auto const bad = GENERATE(as<double>{}, infinity, std::nan(""));
  for (int64_t const place : {int64_t{0}, int64_t{3}, int64_t{4000}, int64_t{4096}}) {
    Tensor one = tests::tensor(gpu.device, {5, 1}, dtype, std::vector<double>(5, bad));
    gpu.kernels.fill(0.5, z);
    gpu.kernels.copy_columns(one, 0, 1, z, place);
    Case const c{.z = z, .labels = integers(gpu.device, {3, 3, 3, 3, 3})};
    Passes const passes(gpu.kernels, c, seen(gpu.device, dtype), some_rows(gpu.device, dtype),
                        dtype);
    for (size_t r = 0; r < 5; ++r) {
      CHECK_FALSE(std::isfinite(values(passes.stats)[6 * r + 1]));
      CHECK_FALSE(std::isfinite(values(passes.after)[6 * r + 1]));
    }
    // A row with factor 0 keeps gradient 0.
    CHECK(values(passes.gradient.rows(2, 3)) == std::vector<double>(4097, 0));
    CHECK(values(passes.stored.rows(2, 3)) == std::vector<double>(4097, 0));
  }
}

TEST_CASE("CUDA softmax passes: any barrier removed -> wrong result in some order",
          "[kernels][softmax]") {
  Gpu gpu;
  auto const right = [&](unsigned run) {
    Case const c{.z = tests::random(gpu.device, {3, 5000}, Dtype::f32, run + 1),
                 .labels = integers(gpu.device, {4, 4999, -1}),
                 .rule = {.scale = 3, .sum_logits = true}};
    Tensor const rows = some_rows(gpu.device, Dtype::f32).rows(0, 3);
    auto const fast =
        Passes(gpu.kernels, c, begun(gpu.kernels, gpu.device, 3, Dtype::f32), rows, Dtype::f32)
            .all();
    auto const exact =
        Passes(gpu.cpu, rounded(c, Dtype::f64), begun(gpu.cpu, gpu.device, 3, Dtype::f64),
               tests::as(rows, Dtype::f64), Dtype::f64)
            .all();
    return std::ranges::equal(fast, exact, [](Tensor const& a, Tensor const& b) {
      return tests::distance(a, b) < tests::f32_reduction;
    });
  };
  // Covers the two sums of a tile: the second one's barriers and the barrier between them.
  CHECK(tests::host_cuda::unnoticed_barriers(right).empty());
}

namespace {

struct Losses {
  Tensor rows, sums, loss, factor;

  Losses(Kernels& k, math::LossRule const& rule, Tensor const& parts, Tensor const& labels)
      : rows(parts.device(), {labels.count(), 4}, parts.dtype()),
        sums(tests::tensor(parts.device(), {2}, Dtype::f64, {1.5, 0.5})),
        loss(parts.device(), {1}, parts.dtype()),
        factor(parts.device(), {1}, Dtype::f64) {
    k.softmax_merge(rule, parts, labels, rows, sums);
    k.softmax_mean(sums, rows, loss, factor);
  }
  std::array<Tensor, 4> all() const { return {rows, sums, loss, factor}; }
};

/// Statistics in which sums of exp and weights are positive.
Tensor some_parts(Device& device, int64_t shards, int64_t rows, Dtype dtype, unsigned seed) {
  auto numbers = values(tests::random(device, {shards, rows, 6}, Dtype::f64, seed));
  for (size_t i = 0; i < numbers.size(); i += 6)
    for (size_t const j : {1u, 4u, 5u}) numbers[i + j] = 1 + std::abs(numbers[i + j]);
  return tests::tensor(device, {shards, rows, 6}, dtype, numbers);
}

Tensor some_labels(Device& device, int64_t rows) {
  std::vector<int64_t> numbers;
  for (int64_t r = 0; r < rows; ++r) numbers.push_back(r % 5 == 1 ? -1 : r);
  return integers(device, numbers);
}

constexpr math::LossRule full_rule{.smoothing = 0.1, .z_loss = 0.01, .classes = 9, .weight_sum = 7};

bool losses_agree(Gpu& gpu, int64_t shards, int64_t rows, Dtype dtype, unsigned seed) {
  Tensor const parts = some_parts(gpu.device, shards, rows, dtype, seed),
               labels = some_labels(gpu.device, rows);
  auto const fast = Losses(gpu.kernels, full_rule, parts, labels).all(),
             exact = Losses(gpu.cpu, full_rule, tests::as(parts, Dtype::f64), labels).all();
  return std::ranges::equal(fast, exact, [](Tensor const& a, Tensor const& b) {
    return tests::distance(a, b) < tests::f32_reduction;
  });
}

}  // namespace

TEST_CASE("CUDA softmax_merge and softmax_mean: one shard and three -> within rounding of f64",
          "[kernels][softmax]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  auto const rows = GENERATE(int64_t{0}, int64_t{1}, int64_t{33}, int64_t{257}, int64_t{1025});
  CHECK(losses_agree(gpu, 1, rows, dtype, 1));
  CHECK(losses_agree(gpu, 3, rows, dtype, 2));
}

TEST_CASE("CUDA softmax_merge: any barrier removed -> wrong result in some order",
          "[kernels][softmax]") {
  Gpu gpu;
  CHECK(tests::host_cuda::unnoticed_barriers([&](unsigned run) {
          return losses_agree(gpu, 2, 257, Dtype::f32, run + 1);
        }).empty());
}

TEST_CASE("CUDA softmax_mean: loss not finite -> factor 0; no row has a label -> loss 0, factor 1",
          "[kernels][softmax]") {
  Gpu gpu;
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  auto const bad = GENERATE(as<double>{}, infinity, std::nan(""));
  auto const run = [&](std::vector<double> const& numbers) {
    Tensor const sums = tests::tensor(gpu.device, {2}, Dtype::f64, numbers);
    Tensor rows = some_rows(gpu.device, dtype), loss(gpu.device, {1}, dtype),
           factor(gpu.device, {1}, Dtype::f64);
    gpu.kernels.softmax_mean(sums, rows, loss, factor);
    auto factors = values(rows);
    for (size_t i = 0; i < factors.size(); i += 4) factors[i] = 0;
    CHECK(factors == std::vector<double>(20, 0));
    return std::pair{tests::value(loss), tests::value(factor)};
  };
  CHECK_FALSE(std::isfinite(run({bad, 3}).first));
  CHECK(run({bad, 3}).second == 0);
  CHECK(run({0, 0}) == std::pair{0.0, 1.0});
}

TEST_CASE(
    "CUDA softmax_mean: no rows on this rank -> factor 1 / weight sum; not finite or no weight -> "
    "0",
    "[kernels][softmax]") {
  Gpu gpu;
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  auto const run = [&](double sum, double weight) {
    Tensor const sums = tests::tensor(gpu.device, {2}, Dtype::f64, {sum, weight});
    Tensor loss(gpu.device, {1}, dtype), factor(gpu.device, {1}, Dtype::f64), none;
    gpu.kernels.softmax_mean(sums, none, loss, factor);
    return std::pair{tests::value(loss), tests::value(factor)};
  };
  CHECK(run(6, 4) == std::pair{1.5, 0.25});
  CHECK(run(0, 0) == std::pair{0.0, 0.0});
  CHECK(run(infinity, 4).second == 0);
  CHECK(run(std::nan(""), 4).second == 0);
}

TEST_CASE("CUDA softmax passes: no classes under every rule -> same as the CPU",
          "[kernels][softmax]") {
  Gpu gpu;
  Under const under(GENERATE(from_range(all_orders())));
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  for (auto& [name, c] : tests::softmax::cases(gpu.device, 5, 1, 0, dtype)) {
    CAPTURE(name);
    c.z = Tensor(gpu.device, {5, 0}, dtype);
    for (Tensor* t : {&c.chunk.bias, &c.chunk.weights})
      if (*t) *t = t->rows(0, 0);
    Tensor const before = seen(gpu.device, dtype), factors = some_rows(gpu.device, dtype);
    auto const fast = Passes(gpu.kernels, c, before, factors, dtype).all(),
               exact = Passes(gpu.cpu, c, before, factors, dtype).all();
    CHECK(std::ranges::equal(fast, exact, equal));
  }
}
