#include "train/data/permutation.h"
#include <catch2/catch.hpp>
#include <set>
#include "core/check.h"

using core::Purpose;
using train::Permutation;

namespace {

Permutation epoch(int64_t size, uint64_t number, uint64_t seed = 7) {
  return {size, {seed, Purpose::order, number}};
}

}  // namespace

TEST_CASE("permutation: any size -> each number once", "[permutation]") {
  for (int64_t const size : {1, 2, 3, 5, 31, 32, 33, 255, 256, 257, 99991}) {
    Permutation const order = epoch(size, 0);
    std::vector<bool> seen(static_cast<size_t>(size));
    for (int64_t place = 0; place < size; ++place) {
      int64_t const number = order(place);
      REQUIRE((0 <= number && number < size));
      seen[static_cast<size_t>(number)] = true;
    }
    CHECK(std::ranges::count(seen, true) == size);
  }
}

TEST_CASE("permutation: different seed, purpose or item -> different order", "[permutation]") {
  std::set<std::vector<int64_t>> orders;
  for (Permutation const& order : {epoch(1000, 0), epoch(1000, 1), epoch(1000, 0, 8),
                                   Permutation(1000, {7, Purpose::word_order, 0})}) {
    std::vector<int64_t> numbers;
    for (int64_t place = 0; place < 1000; ++place) numbers.push_back(order(place));
    orders.insert(numbers);
  }
  CHECK(orders.size() == 4);
}

TEST_CASE("permutation: statistics -> those of a random permutation", "[permutation]") {
  // Expected values for n numbers: one fixed point, a mean distance of n / 3 between index and
  // element, and as many ascents as descents between neighbors.
  int64_t const size = 100003;
  Permutation const order = epoch(size, 3);
  int64_t fixed = 0, ascents = 0;
  double distance = 0;
  for (int64_t place = 0; place < size; ++place) {
    fixed += order(place) == place;
    ascents += place > 0 && order(place) > order(place - 1);
    distance += std::abs(static_cast<double>(order(place) - place));
  }
  CHECK(fixed < 8);
  // 5 standard deviations of sqrt(n / 12), and 4.5 standard deviations.
  CHECK(ascents == Approx(size / 2).margin(500));
  CHECK(distance / size == Approx(size / 3.0).epsilon(0.01));
}

TEST_CASE("permutation: size 2^50 -> distinct numbers; index or size out of range -> core::Error",
          "[permutation]") {
  int64_t const size = int64_t{1} << 50;
  Permutation const order = epoch(size, 0);
  std::set<int64_t> numbers;
  for (int64_t place = size - 1000; place < size; ++place) numbers.insert(order(place));
  CHECK(numbers.size() == 1000);
  CHECK(*numbers.begin() >= 0);
  CHECK(*numbers.rbegin() < size);
  CHECK_THROWS_AS(order(size), core::Error);
  CHECK_THROWS_AS(order(-1), core::Error);
  CHECK_THROWS_AS(epoch(0, 0)(0), core::Error);
  CHECK_THROWS_AS(epoch(size + 1, 0), core::Error);
}
