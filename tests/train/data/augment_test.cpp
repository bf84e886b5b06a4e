#include "train/data/augment.h"
#include <catch2/catch.hpp>
#include <cmath>
#include "train/errors.h"

using core::ImageShape;
using train::AugmentConfig;
using train::Augmenter;

namespace {

constexpr ImageShape odd{5, 7, 3};

/// Image with distinct pixels in (0, 1].
std::vector<float> image(ImageShape const& shape) {
  std::vector<float> pixels(static_cast<size_t>(shape.count()));
  for (size_t i = 0; i < pixels.size(); ++i)
    pixels[i] = static_cast<float>(i * 37 % pixels.size() + 1) / static_cast<float>(pixels.size());
  return pixels;
}

size_t at(ImageShape const& s, int64_t y, int64_t x, int64_t c) {
  return static_cast<size_t>((y * s.width + x) * s.channels + c);
}

core::RandomKey key(uint64_t item) { return {1, core::Purpose::augmentation, item}; }

AugmentConfig everything() {
  return {.translate = 0.1,
          .rotation = 10,
          .scale = 0.1,
          .shear = 0.1,
          .blur_sigma = 1,
          .noise_std = 0.05,
          .contrast = 0.2,
          .horizontal_flip = true};
}

}  // namespace

TEST_CASE("augment: all amounts 0 -> pixels unchanged, for any values") {
  Augmenter augment({}, odd);
  std::vector<float> pixels = image(odd);
  pixels[3] = -7, pixels[9] = 1e30f;
  std::vector<float> const before = pixels;
  for (uint64_t i = 0; i < 20; ++i) augment(pixels.data(), key(i));
  CHECK(pixels == before);
}

TEST_CASE("augment: warp by whole pixels -> exact shift, zeros outside") {
  Augmenter augment({}, odd);
  std::vector<float> const before = image(odd);
  std::vector<float> pixels = before;
  // The image moves 2 pixels right and 1 up: the source is 2 pixels to the left and 1 down.
  augment.warp(pixels.data(), {.x0 = -2, .y0 = 1});
  for (int64_t y = 0; y < 5; ++y)
    for (int64_t x = 0; x < 7; ++x)
      for (int64_t c = 0; c < 3; ++c) {
        bool const inside = x - 2 >= 0 && y + 1 < 5;
        REQUIRE(pixels[at(odd, y, x, c)] == (inside ? before[at(odd, y + 1, x - 2, c)] : 0.0f));
      }
  augment.warp(pixels.data(), {.x0 = 1e6f, .y0 = -1e6f});
  CHECK(pixels == std::vector<float>(pixels.size(), 0.0f));
}

TEST_CASE(
    "augment: warp by half a pixel -> mean of two pixels; half the last pixel at the border") {
  ImageShape const line{1, 4, 1};
  Augmenter augment({}, line);
  std::vector<float> pixels{0.5f, 1.0f, 0.25f, 0.75f};
  augment.warp(pixels.data(), {.x0 = 0.5f});
  CHECK(pixels == std::vector{0.75f, 0.625f, 0.5f, 0.375f});
}

TEST_CASE("augment: warp by 90 degrees -> exact rotation of a square") {
  ImageShape const square{4, 4, 1};
  Augmenter augment({}, square);
  std::vector<float> const before = image(square);
  std::vector<float> pixels = before;
  augment.warp(pixels.data(), {.xx = 0, .xy = 1, .yx = -1, .yy = 0});
  for (int64_t y = 0; y < 4; ++y)
    for (int64_t x = 0; x < 4; ++x)
      CHECK(pixels[at(square, y, x, 0)] == before[at(square, 3 - x, y, 0)]);
}

TEST_CASE("augment: horizontal_flip -> half of the images mirrored exactly, others unchanged") {
  Augmenter augment({.horizontal_flip = true}, odd);
  std::vector<float> const before = image(odd);
  std::vector<float> mirrored = before;
  for (int64_t y = 0; y < 5; ++y)
    for (int64_t x = 0; x < 7; ++x)
      for (int64_t c = 0; c < 3; ++c) mirrored[at(odd, y, x, c)] = before[at(odd, y, 6 - x, c)];
  int turned = 0;
  for (uint64_t i = 0; i < 400; ++i) {
    std::vector<float> pixels = before;
    augment(pixels.data(), key(i));
    turned += pixels == mirrored;
    REQUIRE((pixels == mirrored || pixels == before));
  }
  CHECK(turned == Approx(200).margin(40));  // 4 standard deviations
}

TEST_CASE("augment: translate -> shifts up to the configured limit in all directions") {
  ImageShape const shape{40, 40, 1};
  Augmenter augment({.translate = 0.25}, shape);
  double least_x = 0, most_x = 0, least_y = 0, most_y = 0;
  for (uint64_t i = 0; i < 300; ++i) {
    std::vector<float> pixels(1600);
    pixels[at(shape, 20, 20, 0)] = 1;
    augment(pixels.data(), key(i));
    double x = 0, y = 0, sum = 0;
    for (int64_t row = 0; row < 40; ++row)
      for (int64_t column = 0; column < 40; ++column) {
        double const ink = pixels[at(shape, row, column, 0)];
        sum += ink, x += ink * double(column - 20), y += ink * double(row - 20);
      }
    REQUIRE(sum == Approx(1).epsilon(1e-4));  // the bilinear weights of a shift sum to 1
    least_x = std::min(least_x, x), most_x = std::max(most_x, x);
    least_y = std::min(least_y, y), most_y = std::max(most_y, y);
  }
  for (double const reach : {-least_x, most_x, -least_y, most_y}) {
    CHECK(reach > 9.5);
    CHECK(reach < 10.001);
  }
}

TEST_CASE("augment: scale, rotation and shear -> changes up to the configured limits") {
  // The map is measured by the position to which it moves the centroid of a 5 x 5 dot.
  ImageShape const shape{41, 41, 1};
  auto const moved = [&](AugmentConfig const& config, uint64_t item, int64_t x, int64_t y) {
    Augmenter augment(config, shape);
    std::vector<float> pixels(1681);
    for (int64_t j = -2; j <= 2; ++j)
      for (int64_t i = -2; i <= 2; ++i) pixels[at(shape, 20 + y + j, 20 + x + i, 0)] = 1;
    augment(pixels.data(), key(item));
    double sum = 0, to_x = 0, to_y = 0;
    for (int64_t row = 0; row < 41; ++row)
      for (int64_t column = 0; column < 41; ++column) {
        double const ink = pixels[at(shape, row, column, 0)];
        sum += ink, to_x += ink * double(column - 20), to_y += ink * double(row - 20);
      }
    return std::pair(to_x / sum, to_y / sum);
  };
  double most_angle = 0, most_scale = 0, most_shear = 0;
  for (uint64_t i = 0; i < 100; ++i) {
    auto const [rx, ry] = moved({.rotation = 30}, i, 12, 0);
    CHECK(std::hypot(rx, ry) == Approx(12).margin(0.1));
    most_angle = std::max(most_angle, std::abs(std::atan2(ry, rx)) * 57.29578);
    auto const [sx, sy] = moved({.scale = 0.25}, i, 12, 0);
    CHECK(sy == Approx(0).margin(1e-4));
    most_scale = std::max(most_scale, std::abs(sx / 12 - 1));
    auto const [hx, hy] = moved({.shear = 0.5}, i, 0, 12);
    CHECK(hy == Approx(12).margin(0.1));
    most_shear = std::max(most_shear, std::abs(hx / 12));
  }
  CHECK(most_angle == Approx(30).margin(1.5));
  CHECK(most_scale == Approx(0.25).margin(0.02));
  CHECK(most_shear == Approx(0.5).margin(0.03));
}

TEST_CASE("augment: blur of a dot -> product of two Gaussians; of a constant image -> unchanged") {
  ImageShape const shape{21, 31, 2};
  Augmenter augment({}, shape);
  std::vector<float> pixels(static_cast<size_t>(shape.count()));
  pixels[at(shape, 10, 15, 1)] = 1;
  augment.blur(pixels.data(), 1.5f);
  double sum = 0;
  for (int i = -4; i <= 4; ++i) sum += std::exp(-i * i / 4.5);
  for (int64_t y = 0; y < 21; ++y)
    for (int64_t x = 0; x < 31; ++x) {
      int64_t const dy = y - 10, dx = x - 15;
      bool const near = std::abs(dx) <= 4 && std::abs(dy) <= 4;
      double const want = near ? std::exp(-double(dx * dx + dy * dy) / 4.5) / (sum * sum) : 0;
      REQUIRE(pixels[at(shape, y, x, 1)] == Approx(want).margin(1e-6));
      REQUIRE(pixels[at(shape, y, x, 0)] == 0);
    }
  std::vector<float> flat(pixels.size(), 0.5f);
  augment.blur(flat.data(), 3.0f);
  for (float const pixel : flat) REQUIRE(pixel == Approx(0.5f).epsilon(1e-6));
  std::vector<float> const before = image(shape);
  pixels = before;
  augment.blur(pixels.data(), 0.0f);
  CHECK(pixels == before);
}

TEST_CASE("augment: noise_std -> noise of mean 0 and the configured deviation, pixels in [0, 1]") {
  ImageShape const shape{31, 33, 1};
  Augmenter augment({.noise_std = 0.1}, shape);
  double sum = 0, squares = 0;
  int64_t const images = 400;
  for (uint64_t i = 0; i < images; ++i) {
    std::vector<float> pixels(static_cast<size_t>(shape.count()), 0.5f);
    augment(pixels.data(), key(i));
    for (float const pixel : pixels) {
      REQUIRE((pixel >= 0 && pixel <= 1));
      sum += pixel - 0.5, squares += (pixel - 0.5) * (pixel - 0.5);
    }
  }
  auto const count = static_cast<double>(images * shape.count());
  CHECK(sum / count == Approx(0).margin(4e-4));
  // The standard deviation is uniform in [0, 0.1), so the mean of its square is 0.01 / 3, with a
  // standard error of 4.5 % over 400 images.
  CHECK(squares / count == Approx(0.01 / 3).epsilon(0.18));
}

TEST_CASE("augment: contrast -> scaling about 1/2 and a constant offset, up to the limits") {
  ImageShape const shape{1, 3, 1};
  Augmenter augment({.contrast = 0.2}, shape);
  double most_gain = 0, most_lift = 0;
  for (uint64_t i = 0; i < 200; ++i) {
    std::vector<float> pixels{0.4f, 0.5f, 0.6f};
    augment(pixels.data(), key(i));
    CHECK(pixels[2] - pixels[1] == Approx(pixels[1] - pixels[0]).margin(1e-6));
    most_gain = std::max(most_gain, std::abs((pixels[2] - pixels[0]) / 0.2 - 1));
    most_lift = std::max(most_lift, std::abs(pixels[1] - 0.5));
  }
  CHECK(most_gain == Approx(0.2).margin(0.01));
  CHECK(most_lift == Approx(0.2).margin(0.01));
}

TEST_CASE("augment: same key -> same result, independent of earlier calls") {
  ImageShape const shape{32, 32, 1};
  auto const changed = [&](Augmenter& augment, uint64_t item) {
    std::vector<float> pixels = image(shape);
    augment(pixels.data(), key(item));
    return pixels;
  };
  Augmenter a(everything(), shape), b(everything(), shape);
  changed(b, 1), changed(b, 2);
  CHECK(changed(a, 7) == changed(b, 7));
  CHECK(changed(a, 7) != changed(a, 8));
}

TEST_CASE("augment: amount out of range -> ConfigError") {
  auto const refused = [](AugmentConfig const& config) {
    CHECK_THROWS_AS(Augmenter(config, odd), train::ConfigError);
  };
  refused({.translate = -0.1});
  refused({.scale = 1});
  refused({.noise_std = std::nan("")});
  refused({.contrast = -1e-9});
}
