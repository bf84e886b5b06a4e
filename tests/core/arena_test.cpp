#include "core/cuda/arena.h"
#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

using core::cuda::Arena;

namespace {

constexpr size_t no_limit = std::numeric_limits<size_t>::max() / 2;

struct Block {
  size_t offset, bytes;
};

/// Takes and gives back blocks of random sizes, the same ones for the same seed. Returns the
/// offsets of all blocks.
std::vector<size_t> exercise(Arena& arena, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<Block> live;
  std::vector<size_t> offsets;
  for (int i = 0; i < 2000; ++i) {
    if (!live.empty() && random() % 2 == 0) {
      auto const gone = live.begin() + static_cast<std::ptrdiff_t>(random() % live.size());
      arena.give_back(gone->offset);
      live.erase(gone);
    }
    size_t const bytes = 1 + random() % 5000;
    auto const offset = arena.take(bytes);
    REQUIRE(offset);
    REQUIRE(*offset % Arena::alignment == 0);
    REQUIRE(std::ranges::none_of(live, [&](Block const& other) {
      return *offset < other.offset + other.bytes && other.offset < *offset + bytes;
    }));
    live.push_back({*offset, bytes});
    offsets.push_back(*offset);
  }
  CHECK(arena.blocks() == live.size());
  for (Block const& block : live) arena.give_back(block.offset);
  CHECK(arena.blocks() == 0);
  return offsets;
}

}  // namespace

TEST_CASE("arena: random blocks -> aligned, apart, and the same in a range of the extent",
          "[cuda][arena]") {
  unsigned const seed = GENERATE(1u, 2u, 3u);
  Arena measured(no_limit);
  auto const offsets = exercise(measured, seed);
  Arena exact(measured.extent());
  CHECK(exercise(exact, seed) == offsets);
  CHECK(exact.extent() == measured.extent());
  CHECK(exact.take(measured.extent()) == std::optional<size_t>(0));
}

TEST_CASE("arena: several gaps -> the smallest that is large enough, the end of the range last",
          "[cuda][arena]") {
  Arena arena(10 * 256);
  std::vector<size_t> const bytes{3 * 256, 256, 2 * 256, 256, 256};
  std::vector<size_t> offsets;
  for (size_t const each : bytes) offsets.push_back(*arena.take(each));
  CHECK(offsets == std::vector<size_t>{0, 768, 1024, 1536, 1792});
  arena.give_back(0);
  arena.give_back(1024);
  CHECK(arena.take(300) == std::optional<size_t>(1024));
  CHECK(arena.take(257) == std::optional<size_t>(0));  // not the two that are free at the end
  CHECK(arena.take(2 * 256) == std::optional<size_t>(2048));
  CHECK(arena.extent() == 10 * 256);
}

TEST_CASE("arena: neighbors given back in any order -> one gap", "[cuda][arena]") {
  std::vector<size_t> order{0, 256, 512};
  do {
    Arena arena(3 * 256);
    for (size_t i = 0; i < order.size(); ++i) REQUIRE(arena.take(256));
    for (size_t const offset : order) arena.give_back(offset);
    CHECK(arena.take(3 * 256) == std::optional<size_t>(0));
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("arena: no gap is large enough -> none", "[cuda][arena]") {
  CHECK_FALSE(Arena(0).take(1));
  Arena arena(4 * 256);
  CHECK_FALSE(arena.take(4 * 256 + 1));
  auto const first = arena.take(256), second = arena.take(256);
  REQUIRE(arena.take(512));
  CHECK_FALSE(arena.take(1));
  arena.give_back(*first);
  CHECK_FALSE(arena.take(257));
  arena.give_back(*second);
  CHECK(arena.take(512) == std::optional<size_t>(0));
}
