#include <algorithm>
#include <cmath>
#include "comm/self.h"
#include "tests/layers/head/heads.h"
#include "tests/support/device.h"

using layers::ClassSampler;
using layers::drawn_classes;

namespace {

std::vector<int64_t> const labels{3, 70000, -1, 3, 99999, 0};

/// Samples in pieces that end at `places`, as shards do.
std::vector<int64_t> in_pieces(ClassSampler const& draw, std::vector<int64_t> const& places) {
  std::vector<int64_t> all;
  for (size_t i = 0; i + 1 < places.size(); ++i)
    for (int64_t const c : drawn_classes(draw, places[i], places[i + 1] - places[i], labels))
      all.push_back(places[i] + c);
  return all;
}

}  // namespace

TEST_CASE("class sampler: classes split into pieces -> same sample", "[cpu]") {
  int64_t const classes = 100'000;
  for (double const rate : {0.001, 0.3, 1.0}) {
    ClassSampler const draw{.seed = 5, .step = 9, .rate = rate};
    auto const whole = drawn_classes(draw, 0, classes, labels);
    CHECK(in_pieces(draw, {0, 1, 2, 65536, 65537, classes}) == whole);
    CHECK(in_pieces(draw, {0, 33334, 33334, 66667, classes}) == whole);
    CHECK(std::is_sorted(whole.begin(), whole.end()));
    CHECK(std::adjacent_find(whole.begin(), whole.end()) == whole.end());
    for (int64_t const label : {0, 3, 70000, 99999})
      CHECK(std::binary_search(whole.begin(), whole.end(), label));
  }
  CHECK(drawn_classes({.rate = 1}, 7, 100, {}).size() == 100);
  CHECK(drawn_classes({.rate = 0.5}, 7, 0, labels).empty());
}

TEST_CASE("class sampler: steps and seeds -> independent samples with the given rate", "[cpu]") {
  int64_t const classes = 200'000;
  double const rate = 0.1;
  auto const of_step = [&](uint64_t seed, int64_t step) {
    return drawn_classes({.seed = seed, .step = step, .rate = rate}, 0, classes, {});
  };
  auto const first = of_step(1, 1);
  for (auto const& other : {of_step(1, 2), of_step(2, 1)}) {
    std::vector<int64_t> both;
    std::set_intersection(first.begin(), first.end(), other.begin(), other.end(),
                          std::back_inserter(both));
    // Bound: five standard deviations of a binomial count, for one sample and for the intersection
    // of two independent ones.
    auto const holds = [&](size_t count, double chance) {
      double const mean = chance * classes, stddev = std::sqrt(mean * (1 - chance));
      CHECK(std::abs(double(count) - mean) < 5 * stddev);
    };
    holds(other.size(), rate);
    holds(both.size(), rate * rate);
  }
  // Classes at either end and at the border of a block are not special.
  for (int64_t const place : {int64_t{0}, int64_t{65535}, int64_t{65536}, classes - 1}) {
    int times = 0;
    for (int64_t step = 1; step <= 400; ++step)
      times += int(drawn_classes({.step = step, .rate = rate}, place, 1, {}).size());
    CHECK((times > 10 && times < 70));
  }
}

TEST_CASE("class sampler: sets -> restricted to sampled classes, labels renumbered") {
  core::Device& device = tests::device();
  comm::Self self;
  layers::ClassShard const rows({device}, self, {.classes = 10, .features = 2});
  std::vector<layers::ClassSet> sets{
      {0, 4, 0, 4, {}, {}}, {4, 8, 4, 4, {}, {}}, {8, 10, 8, 2, {}, {}}};
  ClassSampler const draw{.step = 3, .rate = 0.4, .log_q = true};
  std::vector<int64_t> const batch{9, 2, -1, 2};
  auto const places = tests::values(layers::draw_classes(
      draw, rows, tests::labels_tensor(device, batch), core::Dtype::f32, sets));
  auto const sampled = drawn_classes(draw, 0, 10, batch);
  std::vector<int64_t> found;
  for (auto const& set : sets) {
    CHECK(set.first == int64_t(found.size()));
    CHECK(set.count == set.sampled.count());
    auto const shift = tests::values(set.shift);
    for (double const place : tests::values(set.sampled)) {
      int64_t const c = set.begin + int64_t(place);
      CHECK(c < set.end);
      double const want = c == 9 || c == 2 ? 0 : -std::log(0.4);
      CHECK(shift[found.size() - size_t(set.first)] == Approx(want));
      found.push_back(c);
    }
  }
  CHECK(found == sampled);
  CHECK(found.size() < 10);  // otherwise nothing is tested
  REQUIRE(places.size() == 4);
  CHECK(sampled[size_t(places[0])] == 9);
  CHECK(sampled[size_t(places[1])] == 2);
  CHECK(places[2] < 0);
  CHECK(places[3] == places[1]);
}
