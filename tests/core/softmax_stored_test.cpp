// Exponentials that are stored between the passes of a softmax.
#include "tests/core/softmax_passes.h"
#include "tests/support/device.h"

using namespace core;
using namespace tests::softmax;
using tests::tensor;
using tests::values;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// The exponentials of all classes in chunks, in the middle of a wider matrix.
struct Stored {
  Tensor stats, tiles, reference, matrix;
  Columns e;

  Stored(Case const& c, Dtype dtype, int64_t chunk)
      : stats(c.z.device(), {c.z.size(0), 6}, c.z.dtype()),
        reference(c.z.device(), {c.z.size(0)}, c.z.dtype()),
        matrix(c.z.device(), {c.z.size(0), c.z.size(1) + 5}, dtype),
        e(matrix, 2, c.z.size(1)) {
    Device& device = c.z.device();
    Kernels& k = device.kernels();
    int64_t const classes = c.z.size(1);
    int64_t count = 0, used = 0;
    for (int64_t begin = 0; begin < classes; begin += chunk)
      count += math::tiles_of(std::min(chunk, classes - begin));
    tiles = Tensor(device, {count, c.z.size(0), 3}, c.z.dtype());
    k.softmax_begin(stats);
    for (int64_t begin = 0; begin < classes; begin += chunk) {
      int64_t const end = std::min(begin + chunk, classes);
      ClassChunk const part{c.chunk.first + begin, part_of(c.chunk.bias, begin, end),
                            part_of(c.chunk.weights, begin, end)};
      Tensor const z = columns(c.z, begin, end);
      if (begin == 0) k.softmax_reference(c.rule, part, c.labels, z, reference);
      Tensor mine = tiles.rows(used, used + math::tiles_of(end - begin));
      Columns of_chunk(matrix, 2 + begin, end - begin);
      k.softmax_exponentials(c.rule, part, c.labels, z, reference, stats, mine, of_chunk);
      used += mine.size(0);
    }
    k.softmax_merge_tiles(tiles, stats);
  }

  void align(Tensor const& rows, int64_t chunk) {
    Tensor none;
    e.device().kernels().softmax_align(rows, chunk, tiles, reference, e, none);
  }
  Tensor values() const { return columns(matrix, e.begin, e.begin + e.count); }
};

double bound_of(Dtype dtype) {
  return dtype == Dtype::f64    ? 1e-12
         : dtype == Dtype::bf16 ? tests::bf16_rounding
                                : tests::f32_reduction;
}

/// plain_case with logits that differ by up to 300 and more.
Case far_case(Device& device, int64_t classes, Dtype dtype) {
  Case c = plain_case(device, 6, classes, 1000, dtype);
  c.rule.scale = 150;
  return c;
}

}  // namespace

TEST_CASE("softmax: stored exponentials -> same gradient as recomputation", "[softmax]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f64, Dtype::f32, Dtype::bf16);
  auto const [classes, chunk] =
      GENERATE(std::pair{2, 2}, std::pair{33, 5}, std::pair{5000, 5000}, std::pair{9100, 4500});
  Dtype const wide = accumulator(dtype);
  auto all = cases(device, 6, classes, 1000, wide);
  all.push_back({"far", far_case(device, classes, wide)});
  for (auto const& [name, c] : all) {
    CAPTURE(name, dtype, classes);
    Tensor const rows = loss_of(c).rows;
    Stored stored(c, dtype, chunk);
    CHECK(tests::distance(merged({stored.stats}, c.labels, c.loss).rows, rows) <
          std::min(bound_of(dtype), tests::f32_reduction));
    stored.align(rows, chunk);
    device.kernels().softmax_gradient_stored(c.rule, c.chunk, c.labels, stored.reference, rows,
                                             stored.e);
    CHECK(tests::distance(stored.values(), gradient(c, rows, dtype)) < bound_of(dtype));
  }
}

TEST_CASE("softmax: exponentials times their factors -> same gradient as recomputation",
          "[softmax]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f64, Dtype::f32, Dtype::bf16);
  auto const [classes, chunk] = GENERATE(std::pair{2, 1}, std::pair{33, 5}, std::pair{9100, 4500});
  Dtype const wide = accumulator(dtype);
  auto all = cases(device, 6, classes, 1000, wide);
  all.push_back({"far", far_case(device, classes, wide)});
  for (auto const& [name, c] : all) {
    if (c.loss.smoothing > 0) continue;
    CAPTURE(name, dtype, classes);
    Tensor const rows = loss_of(c).rows;
    Stored stored(c, dtype, chunk);
    stored.align(rows, chunk);
    Tensor factors = empty_like(stored.reference);
    device.kernels().softmax_factors(rows, stored.reference, factors);
    device.kernels().softmax_targets(c.chunk.first, c.labels, rows, factors, stored.e);
    Tensor g = stored.values();
    device.kernels().scale_rows(1, factors, g);
    CHECK(tests::distance(g, gradient(c, rows, dtype)) < bound_of(dtype));
  }
}

TEST_CASE("softmax: exponentials of chunks by hand -> one reference, unless out of reach",
          "[softmax]") {
  Device& device = tests::device();
  Kernels& k = device.kernels();
  auto const close = [](Tensor const& t, std::vector<double> const& exact) {
    return tests::distance(values(t), exact) < 1e-14;
  };
  // Logits 2 z, two classes per chunk. The first row's second chunk is 60 above its first, the
  // second row's 62; the third row's first chunk is empty, but for its target.
  Case const c{.z = tensor(device, {3, 4}, Dtype::f64,
                           {1, 0.5, 31, -1, 1, 0.5, 32, 31, 3, -infinity, -50, -51}),
               .labels = integers(device, {-1, -1, 0}),
               .rule = {.scale = 2}};
  Stored stored(c, Dtype::f64, 2);
  CHECK(close(stored.reference, {2, 2, 6}));
  auto const exp = [](double x) { return 2 * std::exp(x); };
  CHECK(close(stored.values(), {2, exp(-1), exp(60), exp(-4), 2, exp(-1), 2, exp(-2),  //
                                0, 0, exp(-106), exp(-108)}));
  CHECK(values(stored.tiles)[9 + 3] == 64);  // the second row's second chunk
  stored.align({}, 2);
  CHECK(close(stored.reference, {2, 64, 6}));
  CHECK(close(columns(stored.values(), 0, 2).reshape({6}), {2, exp(-1), exp(-62), exp(-63), 0, 0}));
  CHECK(values(stored.tiles)[3] == 64);

  // An lse of 70 is out of reach of the first and the last row, whose exponentials become relative
  // to it, and within reach of the second. The rows of sums are multiplied by the same factors.
  Tensor const rows =
      tensor(device, {3, 4}, Dtype::f64, {70, 0.5, 0, 0, 70, 0.25, 0, 0, 70, 0.5, 0, -0.125});
  Tensor sums = tensor(device, {3, 1}, Dtype::f64, {1, 1, 1}), factors(device, {3}, Dtype::f64);
  k.softmax_align(rows, 2, stored.tiles, stored.reference, stored.e, sums);
  CHECK(close(stored.reference, {70, 64, 70}));
  CHECK(close(sums, {std::exp(-68.0), 1, std::exp(-64.0)}));
  CHECK(close(columns(stored.values(), 0, 1).reshape({3}), {exp(-68), exp(-62), 0}));
  k.softmax_factors(rows, stored.reference, factors);
  CHECK(close(factors, {0.5, 0.25 * std::exp(-6.0), 0.5}));
  k.softmax_targets(0, c.labels, rows, factors, stored.e);
  CHECK(values(stored.values())[8] == -0.25);
}

TEST_CASE("softmax_factors: a row without gradient, or without classes -> 0", "[softmax]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  Tensor const rows =
      tensor(device, {3, 4}, dtype, {std::nan(""), 0, 0, 0, 1, 2, 0, 1, 5, 3, 0, 1});
  Tensor const reference = tensor(device, {3}, dtype, {1, -infinity, 5});
  Tensor factors = empty_like(reference), e = tensor(device, {3, 2}, dtype, {1, 2, 3, 4, 5, 6});
  device.kernels().softmax_factors(rows, reference, factors);
  CHECK(values(factors) == std::vector<double>{0, 0, 3});
  Columns part(e, 1, 1);
  device.kernels().softmax_targets(7, integers(device, {7, 7, 6}), rows, factors, part);
  CHECK(values(e) == std::vector<double>{1, 0, 3, 0, 5, 6});
}

TEST_CASE("softmax: margin lowers the target's logit -> the maximum is that of the final logits",
          "[softmax]") {
  Device& device = tests::device();
  // CosFace lowers the target's logit from 100 to -300; exp(-200) of the others underflows in f32.
  Case const c{.z = tensor(device, {1, 2}, Dtype::f32, {1, -1}),
               .labels = integers(device, {0}),
               .rule = {.scale = 100, .margins = tensor(device, {1, 3}, Dtype::f32, {1, 0, 4})}};
  CHECK(values(whole(c))[0] == -100);
  Stored const stored(c, Dtype::f32, 2);
  CHECK(values(stored.reference)[0] == -100);
  CHECK(values(stored.stats)[0] == -100);
  CHECK(values(stored.values()) == std::vector<double>{0, 100});
  CHECK(tests::value(loss_of(c).loss) == Approx(200));
}
