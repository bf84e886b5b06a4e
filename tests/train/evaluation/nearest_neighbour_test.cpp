#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include "comm/self.h"
#include "tests/support/device.h"
#include "tests/train/data/sets.h"
#include "train/evaluation/evaluate.h"

using core::ImageShape;
using tests::make_split;
using train::Score;
using train::Split;

namespace {

/// Reference in f64: classes ordered by the distance to their nearest image, then by number.
Score brute_force(Split const& train, Split const& split) {
  auto const size = static_cast<size_t>(train.data->shape().count());
  std::vector<float> q(size), g(size);
  double top1 = 0, top5 = 0;
  for (int64_t i = 0; i < split.data->size(); ++i) {
    split.data->read(i, q.data());
    std::map<int64_t, double> nearest;
    for (int64_t k = 0; k < train.data->size(); ++k) {
      train.data->read(k, g.data());
      double distance = 0;
      for (size_t p = 0; p < size; ++p) distance += (double{q[p]} - g[p]) * (double{q[p]} - g[p]);
      auto const [place, fresh] = nearest.emplace(train.data->label(k), distance);
      if (!fresh) place->second = std::min(place->second, distance);
    }
    std::vector<std::pair<double, int64_t>> order;
    for (auto const& [label, distance] : nearest) order.emplace_back(distance, label);
    std::ranges::sort(order);
    for (size_t place = 0; place < std::min<size_t>(5, order.size()); ++place) {
      if (order[place].second != split.data->label(i)) continue;
      top1 += place == 0;
      ++top5;
    }
  }
  auto const samples = static_cast<double>(split.data->size());
  return {split.name, split.data->size(), top1 / samples, top5 / samples};
}

/// Random pixels with `levels` values 0, 1/4, ...: sums of their products are exact in f32.
Split random_split(char const* name, ImageShape shape, int64_t samples, int64_t classes, int levels,
                   unsigned seed) {
  std::mt19937 rng(seed);
  std::vector<float> pixels(static_cast<size_t>(samples * shape.count()));
  for (float& pixel : pixels)
    pixel = static_cast<float>(rng() % static_cast<unsigned>(levels)) / 4.0f;
  std::vector<int64_t> labels(static_cast<size_t>(samples));
  for (int64_t& label : labels)
    label = static_cast<int64_t>(rng() % static_cast<uint64_t>(classes));
  return make_split(name, shape, std::move(pixels), std::move(labels));
}

void compare(Split const& train, Split const& split) {
  core::Device& device = tests::device();
  comm::Self self;
  auto const score = nearest_neighbour(train, split, device, self);
  auto const expected = brute_force(train, split);
  CHECK(score.split == split.name);
  CHECK(score.samples == expected.samples);
  CHECK(score.top1 == expected.top1);
  CHECK(score.top5 == expected.top5);
  CHECK(score.top5 < 1);  // the data can detect wrong results
  CHECK(score.top5 > score.top1);
}

}  // namespace

TEST_CASE("nearest_neighbour: several images per class -> scores of the reference") {
  compare(random_split("train", {3, 5, 2}, 500, 40, 9, 1),
          random_split("test", {3, 5, 2}, 257, 40, 9, 2));
}

TEST_CASE("nearest_neighbour: equal distances -> the lower class") {
  // Two pixels of two levels: most distances are equal, and most images have duplicates.
  compare(random_split("train", {1, 2, 1}, 31, 12, 2, 3),
          random_split("test", {1, 2, 1}, 129, 12, 2, 4));
}

TEST_CASE("nearest_neighbour: several blocks of training images -> scores of the reference") {
  compare(random_split("train", {2, 4, 1}, 4096 + 33, 300, 5, 5),
          random_split("test", {2, 4, 1}, 300, 300, 5, 6));
}

TEST_CASE("nearest_neighbour: points on a line -> scores computed by hand") {
  core::Device& device = tests::device();
  comm::Self self;
  // Points on a line: class 7 at 0 and 10, class 3 at 4, class 9 at 5.
  Split const train = make_split("train", {1, 1, 1}, {0, 10, 4, 5}, {7, 7, 3, 9});
  auto const right = [&](float at, int64_t label) {
    auto const score =
        nearest_neighbour(train, make_split("one", {1, 1, 1}, {at}, {label}), device, self);
    CHECK(score.samples == 1);
    return std::pair{score.top1, score.top5};
  };
  CHECK(right(9, 7) == std::pair{1.0, 1.0});
  CHECK(right(4.4f, 3) == std::pair{1.0, 1.0});
  CHECK(right(4.4f, 9) == std::pair{0.0, 1.0});
  CHECK(right(4.5f, 3) == std::pair{1.0, 1.0});  // same distance as class 9
  CHECK(right(4.5f, 8) == std::pair{0.0, 0.0});  // class 8 has no training images
}

TEST_CASE("nearest_neighbour: ignored labels in either split -> images left out") {
  core::Device& device = tests::device();
  comm::Self self;
  auto const ignored = train::Dataset::ignored;
  Split const train = make_split("train", {1, 1, 1}, {0, 4, 5}, {7, ignored, 9});
  Split const split = make_split("test", {1, 1, 1}, {3, 4, 5}, {9, ignored, 7});
  auto const score = nearest_neighbour(train, split, device, self);
  CHECK(score.samples == 2);
  CHECK(score.top1 == 0.5);
  CHECK(score.top5 == 1);
}

TEST_CASE("nearest_neighbour: empty split -> scores 0; different image shapes -> core::Error") {
  core::Device& device = tests::device();
  comm::Self self;
  Split const none = make_split("none", {1, 1, 1}, {}, {});
  Split const one = make_split("one", {1, 1, 1}, {1}, {0});
  auto const empty = nearest_neighbour(one, none, device, self);
  CHECK(empty.samples == 0);
  CHECK(empty.top1 == 0);
  CHECK(nearest_neighbour(none, one, device, self).top5 == 0);
  CHECK_THROWS_AS(nearest_neighbour(one, make_split("wide", {1, 2, 1}, {1, 1}, {0}), device, self),
                  core::Error);
}
