#include "core/math/rounding.h"
#include <catch2/catch.hpp>
#include <cmath>

using namespace core;
using math::round_randomly;

namespace {

/// Mean of `count` roundings of x; pick(bits of an element) selects the random bits.
template <class Pick>
double mean_of(float x, int count, Pick const& pick) {
  math::Rounding const rounding(3, 17);
  double sum = 0;
  for (int i = 0; i < count; ++i) sum += round_randomly(x, pick(rounding(uint64_t(i))));
  return sum / count;
}

}  // namespace

TEST_CASE("stochastic rounding: values that bf16 holds -> unchanged for any bits", "[rounding]") {
  for (float const x : {0.0f, -0.0f, 1.0f, -1.5f, 0x1p-126f, 0x1.FEp127f, 0x1p-133f})
    for (uint32_t const bits : {0u, 1u, 0x8000u, 0xFFFFu}) {
      CHECK(float(round_randomly(x, bits)) == x);
      CHECK(std::signbit(float(round_randomly(x, bits))) == std::signbit(x));
    }
}

TEST_CASE("stochastic rounding: random bits carry -> magnitude rounded up", "[rounding]") {
  float const quarter = 1 + 0x1p-9f;  // a quarter of the way from 1 to 1 + 2^-7
  CHECK(float(round_randomly(quarter, 0)) == 1);
  CHECK(float(round_randomly(quarter, 0xBFFF)) == 1);
  CHECK(float(round_randomly(quarter, 0xC000)) == 1 + 0x1p-7f);
  CHECK(float(round_randomly(-quarter, 0xBFFF)) == -1);
  CHECK(float(round_randomly(-quarter, 0xC000)) == -1 - 0x1p-7f);
  CHECK(float(round_randomly(1.999f, 0xFFFF)) == 2);  // carries into the next exponent
}

TEST_CASE("stochastic rounding: infinities and NaN -> unchanged", "[rounding]") {
  for (uint32_t const bits : {0u, 0xFFFFu}) {
    CHECK(float(round_randomly(INFINITY, bits)) == INFINITY);
    CHECK(float(round_randomly(-INFINITY, bits)) == -INFINITY);
    CHECK(std::isnan(float(round_randomly(NAN, bits))));
    CHECK(std::isnan(float(round_randomly(std::bit_cast<float>(0x7F800001u), bits))));
    CHECK(std::isnan(float(round_randomly(std::bit_cast<float>(0xFFFFFFFFu), bits))));
  }
}

TEST_CASE("stochastic rounding: weight and both moments -> unbiased", "[rounding]") {
  int const count = 1 << 18;
  for (float const share : {0.01f, 0.25f, 0.5f, 0.9f}) {
    float const x = 1 + share * 0x1p-7f;
    // Five standard deviations of the mean of `count` roundings that go up with this probability.
    double const bound = 5 * 0x1p-7 * std::sqrt(share * (1 - share) / count);
    CHECK(std::abs(mean_of(x, count, [](auto b) { return b.weight(); }) - x) < bound);
    CHECK(std::abs(mean_of(x, count, [](auto b) { return b.first(); }) - x) < bound);
    CHECK(std::abs(mean_of(x, count, [](auto b) { return b.second(); }) - x) < bound);
    CHECK(std::abs(mean_of(-x, count, [](auto b) { return b.weight(); }) + x) < bound);
  }
}

TEST_CASE("stochastic rounding: neighbors, arrays, steps and seeds -> uncorrelated bits",
          "[rounding]") {
  int const count = 1 << 16;
  math::Rounding const one(3, 17), next_step(3, 18), next_seed(4, 17);
  auto const together = [&](auto const& a, auto const& b) {
    double sum = 0;  // sum of products of two uniform numbers of mean 0
    for (int i = 0; i < count; ++i)
      sum += (a(uint64_t(i)) / 65535.0 - 0.5) * (b(uint64_t(i)) / 65535.0 - 0.5);
    return 12 * sum / count;
  };
  auto const bits = [&](uint64_t i) { return one(i).weight(); };
  double const bound = 5 / std::sqrt(double(count));
  CHECK(together(bits, bits) == Approx(1).margin(0.02));
  CHECK(std::abs(together(bits, [&](uint64_t i) { return one(i + 1).weight(); })) < bound);
  CHECK(std::abs(together(bits, [&](uint64_t i) { return one(i + 512).weight(); })) < bound);
  CHECK(std::abs(together(bits, [&](uint64_t i) { return one(i + (1ull << 32)).weight(); })) <
        bound);
  CHECK(std::abs(together(bits, [&](uint64_t i) { return one(i).first(); })) < bound);
  CHECK(std::abs(together(bits, [&](uint64_t i) { return one(i).second(); })) < bound);
  CHECK(std::abs(together(bits, [&](uint64_t i) { return next_step(i).weight(); })) < bound);
  CHECK(std::abs(together(bits, [&](uint64_t i) { return next_seed(i).weight(); })) < bound);
}
