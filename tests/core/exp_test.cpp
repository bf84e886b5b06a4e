#include "core/math/exp.h"
#include <catch2/catch.hpp>
#include <limits>
#include "core/math/log.h"
#include "core/math/sincospi.h"

using namespace core;

namespace {

/// |approximate - exact| in units in the last place of the f32 nearest to `exact`.
double ulps(float approximate, double exact) {
  int exponent = 0;
  std::frexp(static_cast<float>(exact), &exponent);
  return std::abs(approximate - exact) / std::ldexp(1.0, exponent - 24);
}

}  // namespace

TEST_CASE("exp: f32 arguments -> within two units in the last place of f64", "[math]") {
  double worst = 0;
  for (float x = -87.33f; x < 88.37f; x += 0.00137f)
    worst = std::max(worst, ulps(math::exp(x), std::exp(double{x})));
  for (float x = 1e-9f; x < 0.1f; x *= 1.01f) {
    worst = std::max(worst, ulps(math::exp(x), std::exp(double{x})));
    worst = std::max(worst, ulps(math::exp(-x), std::exp(-double{x})));
  }
  CHECK(worst < 2);
  CHECK(worst > 0);
}

TEST_CASE("exp: ends of the range, infinities and NaN -> 0, infinity, NaN", "[math]") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  CHECK(math::exp(0.0f) == 1);
  CHECK(math::exp(-0.0f) == 1);
  CHECK(math::exp(-infinity) == 0);
  CHECK(math::exp(std::numeric_limits<float>::lowest()) == 0);
  CHECK(math::exp(-88.0f) == 0);
  CHECK(math::exp(infinity) == infinity);
  CHECK(math::exp(std::numeric_limits<float>::max()) == infinity);
  CHECK(math::exp(89.0f) == infinity);
  CHECK(std::isnan(math::exp(std::numeric_limits<float>::quiet_NaN())));
  CHECK(math::exp(-1.5) == std::exp(-1.5));  // f64 uses the standard library
}

TEST_CASE("log_normal: f32 arguments in (0, 1] -> within two units in the last place of f64",
          "[math]") {
  double worst = 0;
  for (float x = 0x1p-24f; x < 1; x *= 1.0003f)
    worst = std::max(worst, ulps(math::log_normal(x), std::log(double{x})));
  CHECK(worst < 2);
  CHECK(math::log_normal(1.0f) == 0);
  CHECK(math::log_normal(3.0f) == Approx(std::log(3.0)).epsilon(1e-7));
}

TEST_CASE("sincospi: every part of the circle -> cosine and sine within rounding", "[math]") {
  double worst = 0;
  for (float t = 0; t < 1; t += 0.000113f) {
    auto const [cos, sin] = math::sincospi(t);
    double const angle = 2 * M_PI * double{t};
    worst = std::max({worst, std::abs(cos - std::cos(angle)), std::abs(sin - std::sin(angle))});
  }
  CHECK(worst < 1.5e-7);
  CHECK(math::sincospi(0.25f).sin == 1);
  CHECK(math::sincospi(0.5f).cos == -1);
  CHECK(math::sincospi(0.75f).sin == -1);
}
