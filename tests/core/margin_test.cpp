#include <numbers>
#include "tests/support/device.h"
#include "tests/support/reference.h"

using namespace core;
using math::BeyondPi;
using math::Margin;
using math::MarginGradient;
using tests::tensor;
using tests::values;

namespace {

constexpr double pi = std::numbers::pi;

struct Kind {
  char const* name;
  Margin<double> margin;
};

std::vector<Kind> kinds() {
  return {{"none", {}},
          {"ArcFace", {1, 0.5, 0}},
          {"CosFace", {1, 0, 0.4}},
          {"SphereFace", {1.35, 0, 0}},
          {"SphereFace of 4", {4, 0, 0}},
          {"combined", {1.1, 0.3, 0.2}},
          {"AdaFace, high norm", {1, -0.4, 0.8, BeyondPi::clamped}},
          {"AdaFace, low norm", {1, 0.4, 0, BeyondPi::clamped}}};
}

}  // namespace

TEST_CASE("margin: each loss at known angles -> values of the published formulas", "[margin]") {
  double const c = 0.5, angle = pi / 3;
  CHECK(Margin<double>{}(1.25).value == 1.25);  // products of a plain head are not cosines
  // ArcFace, cos(θ + 0.5): cos 1.5471976 = 0.0235966
  CHECK(Margin<double>{1, 0.5, 0}(c).value == Approx(0.02359658529).epsilon(1e-8));
  // CosFace, cos θ - 0.4
  CHECK(Margin<double>{1, 0, 0.4}(c).value == Approx(0.1).epsilon(1e-14));
  // SphereFace with m = 4 at 60 degrees: 240 are in the second interval, k = 1: -cos 240 - 2 = -1.5
  CHECK(Margin<double>{4, 0, 0}(c).value == Approx(-1.5).epsilon(1e-14));
  // at 120: 480 = 2 π + 120, k = 2: cos 120 - 4 = -4.5
  CHECK(Margin<double>{4, 0, 0}(-c).value == Approx(-4.5).epsilon(1e-14));
  // combined: cos(1.1 θ + 0.3) - 0.2
  CHECK(Margin<double>{1.1, 0.3, 0.2}(c).value == Approx(std::cos(1.1 * angle + 0.3) - 0.2));
  // ArcFace past π: where cos θ < cos(π - m), cos θ - m sin m
  CHECK(Margin<double>{1, 0.5, 0}(-0.9).value == Approx(-0.9 - 0.5 * std::sin(0.5)));
  // AdaFace clips the angle to [1e-3, π - 1e-3]
  Margin<double> const high{1, -0.4, 0.8, BeyondPi::clamped}, low{1, 0.4, 0, BeyondPi::clamped};
  CHECK(high(0.99).value == Approx(std::cos(1e-3) - 0.8));
  CHECK(high(0.99).slope == 0);
  CHECK(low(-0.99).value == Approx(std::cos(pi - 1e-3)));
  CHECK(low(-0.99).slope == 0);
  CHECK(high(c).value == Approx(std::cos(angle - 0.4) - 0.8));
}

TEST_CASE("margin: slope at every cosine -> difference quotient of the value", "[margin]") {
  for (auto const& [name, margin] : kinds()) {
    int steep = 0;
    for (double c = -0.995; c < 1; c += 0.01) {
      double const step = 1e-6;
      auto const below = margin(c - step), here = margin(c), above = margin(c + step);
      // Where a fallback begins, the slope is discontinuous.
      if (std::abs(above.slope - below.slope) > 0.1 * (1 + std::abs(here.slope))) {
        ++steep;
        continue;
      }
      CAPTURE(name, c);
      CHECK(here.slope == Approx((above.value - below.value) / (2 * step)).margin(1e-7));
    }
    CHECK(steep <= 1);
  }
}

TEST_CASE("margin: both sides of the fallback -> documented values and slopes", "[margin]") {
  // θ + 0.5 = π at cos(π - 0.5).
  Margin<double> const arc{1, 0.5, 0},
      straight{1, 0.5, 0, BeyondPi::monotone, MarginGradient::straight_through};
  double const edge = std::cos(pi - 0.5), step = 1e-9;
  CHECK(arc(edge + step).value == Approx(-1));
  CHECK(std::abs(arc(edge + step).slope) < 1e-3);  // sin π / sin θ
  CHECK(arc(edge - step).value == Approx(edge - 0.5 * std::sin(0.5)));
  CHECK(arc(edge - step).slope == 1);
  // SphereFace's pieces meet at every multiple of π.
  Margin<double> const sphere{4, 0, 0};
  for (int k = 1; k < 4; ++k) {
    double const meet = std::cos(k * pi / 4);
    CHECK(sphere(meet - step).value == Approx(sphere(meet + step).value).margin(1e-7));
  }
  for (double c = -0.99; c < 1; c += 0.03) {
    CHECK(straight(c).slope == 1);
    CHECK(straight(c).value == arc(c).value);
  }
}

TEST_CASE("margin: growing angle -> values never increase", "[margin]") {
  for (auto const& [name, margin] : kinds()) {
    double last = std::numeric_limits<double>::infinity();
    // ArcFace's fallback begins 0.12 below -1: its one jump is downward as well.
    for (double angle = 0; angle <= pi; angle += 0.01) {
      CAPTURE(name, angle);
      double const value = margin(std::cos(angle)).value;
      CHECK(value <= last + 1e-12);
      last = value;
    }
  }
}

TEST_CASE("margin: cosines rounded beyond [-1, 1] -> value at the boundary and a finite slope",
          "[margin]") {
  for (auto const& [name, margin] : kinds()) {
    if (margin.m1 == 1 && margin.m2 == 0) continue;
    CAPTURE(name);
    for (double const side : {1.0, -1.0}) {
      auto const inside = margin(side), beyond = margin(side * 1.0001);
      CHECK(beyond.value == inside.value);
      CHECK(std::isfinite(beyond.slope));
      // At the pole, sin θ is clamped to 1e-3.
      CHECK(std::abs(inside.slope) <= 1e3 * margin.m1);
    }
    CHECK(std::isnan(margin(std::nan("")).value));
  }
  CHECK(Margin<double>{1, 0.5, 0}(1.0).slope == Approx(std::sin(0.5) * 1e3));
}

TEST_CASE("margin: non-target cosines -> filtered, amplified or scaled, with matching slopes",
          "[margin]") {
  math::InterclassFilter<double> const filter{64, 0.4};
  CHECK(filter.logit(0.4) == 64 * 0.4);
  CHECK(filter.slope(0.4) == 64);
  CHECK(filter.logit(0.41) == -std::numeric_limits<double>::infinity());
  CHECK(filter.slope(0.41) == 0);
  math::HardNegatives<double> const harder{64, 0.3, 0.2};
  CHECK(harder.logit(0.25) == 16);
  CHECK(harder.logit(0.5) == Approx(64 * 0.5 * 0.7));  // s N (t + N)
  for (double const p : {0.25, 0.5, -0.9})
    CHECK(harder.slope(p) ==
          Approx((harder.logit(p + 1e-6) - harder.logit(p - 1e-6)) / 2e-6).epsilon(1e-8));
  // cos(θ + 0.5) at 60 degrees.
  CHECK(math::hard_threshold(0.5, 0.5) == Approx(0.02359658529).epsilon(1e-8));
  CHECK(math::hard_threshold(1.5, 0.5) == Approx(std::cos(0.5)));
}

TEST_CASE("adaptive_margins: four norms by hand -> running statistics and margins", "[margin]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  // Clipped: 10, 20, 30, 100. Mean 40; squares 900 + 400 + 100 + 3600 = 5000, standard deviation
  // sqrt(5000 / 3).
  Tensor const norms = tensor(device, {4}, dtype, {10, 20, 30, 400});
  Tensor moments = tensor(device, {2}, dtype, {20, 100}), margins(device, {4, 3}, dtype);
  device.kernels().adaptive_margins(0.4, 0.333, 0.01, norms, moments, margins);
  double const mean = 20 + 0.01 * 20, stddev = 100 + 0.01 * (std::sqrt(5000 / 3.0) - 100);
  CHECK(tests::distance(values(moments), {mean, stddev}) < tests::f32_elementwise);
  std::vector<double> want;
  for (double const norm : {10, 20, 30, 100}) {
    double const k = std::clamp(0.333 * (norm - mean) / (stddev + 1e-3), -1.0, 1.0);
    want.insert(want.end(), {1, -0.4 * k, 0.4 + 0.4 * k});
  }
  CHECK(tests::distance(values(margins), want) < tests::f32_elementwise);

  // k is clipped to 1 and -1.
  moments = tensor(device, {2}, dtype, {50, 1});
  device.kernels().adaptive_margins(0.4, 0.333, 0, norms, moments, margins);
  CHECK(tests::distance(values(margins.rows(0, 1)), {1, 0.4, 0}) < tests::f32_elementwise);
  CHECK(tests::distance(values(margins.rows(3, 4)), {1, -0.4, 0.8}) < tests::f32_elementwise);
}

TEST_CASE("adaptive_margins: no rows, one row or NaN -> undefined statistics stay unchanged",
          "[margin]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  auto const moved = [&](std::vector<double> const& norms) {
    auto const rows = static_cast<int64_t>(norms.size());
    Tensor moments = tensor(device, {2}, dtype, {20, 100}), margins(device, {rows, 3}, dtype);
    device.kernels().adaptive_margins(0.4, 0.333, 0.5, tensor(device, {rows}, dtype, norms),
                                      moments, margins);
    return values(moments);
  };
  CHECK(moved({}) == std::vector<double>{20, 100});
  CHECK(moved({30}) == std::vector<double>{25, 100});
  CHECK(moved({30, std::nan("")}) == std::vector<double>{20, 100});
}

TEST_CASE("curricularface_update: three products by hand -> hardness and thresholds", "[margin]") {
  Device& device = tests::device();
  auto const dtype = GENERATE(Dtype::f32, Dtype::f64);
  Tensor labels(device, {3}, Dtype::i64);
  auto const run = [&](std::vector<int64_t> const& numbers, std::vector<double> const& products) {
    device.upload(numbers.data(), labels);
    Tensor hardness = tensor(device, {1}, dtype, {0.25}), thresholds(device, {3}, dtype);
    device.kernels().curricularface_update(0.5, 0.01, labels, tensor(device, {3}, dtype, products),
                                           hardness, thresholds);
    return std::pair{tests::value(hardness), values(thresholds)};
  };
  auto const [hardness, thresholds] = run({7, -1, 3}, {0.5, 0.9, -0.1});
  // t := 0.99 t + 0.01 mean of 0.5 and -0.1
  CHECK(hardness == Approx(0.99 * 0.25 + 0.01 * 0.2));
  CHECK(thresholds[0] == Approx(std::cos(std::acos(0.5) + 0.5)));
  CHECK(thresholds[2] == Approx(std::cos(std::acos(-0.1) + 0.5)));
  CHECK(run({-1, -1, -1}, {0.5, 0.9, -0.1}).first == 0.25);
  CHECK(run({7, -1, 3}, {0.5, 0.9, std::nan("")}).first == 0.25);
}
