#include "train/report/picture.h"
#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <png.h>
#include <set>
#include "comm/self.h"
#include "tests/support/device.h"
#include "tests/train/files.h"
#include "tests/train/known_model.h"
#include "train/errors.h"
#include "train/report/canvas.h"
#include "train/report/lettering.h"

using core::ImageShape;
using tests::make_split;
using tests::TemporaryFolder;
using train::Canvas;
using train::Colour;
using train::SampleDraw;
using train::Shown;
using train::Split;
using train::Task;

namespace {

constexpr Colour white{255, 255, 255}, black{0, 0, 0};
constexpr Colour green{26, 148, 72}, red{209, 48, 56}, neutral{216, 222, 228};

struct Picture {
  int64_t width, height;
  std::vector<Colour> pixels;

  Colour at(int64_t x, int64_t y) const { return pixels[static_cast<size_t>(y * width + x)]; }
  int64_t count(Colour colour) const { return std::ranges::count(pixels, colour); }
};

Picture read_png(std::string const& path) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  REQUIRE(png_image_begin_read_from_file(&image, path.c_str()) != 0);
  CHECK(image.format == PNG_FORMAT_RGB);
  image.format = PNG_FORMAT_RGB;
  Picture picture{image.width, image.height,
                  std::vector<Colour>(size_t{image.width} * image.height)};
  REQUIRE(png_image_finish_read(&image, nullptr, picture.pixels.data(), 0, nullptr) != 0);
  return picture;
}

template <class F>
Picture drawn(int64_t width, int64_t height, F draw) {
  TemporaryFolder folder;
  Canvas canvas(width, height, white);
  draw(canvas);
  canvas.save_png(folder.file("a.png"));
  return read_png(folder.file("a.png"));
}

constexpr ImageShape shape{4, 6, 1};  // drawn 16 times as large: 96 x 64

/// Images of one gray level each, so that the color of a tile identifies its image.
Split greys(char const* name, std::vector<float> const& levels, std::vector<int64_t> labels) {
  std::vector<float> pixels;
  for (float const level : levels) pixels.insert(pixels.end(), shape.count(), level);
  return make_split(name, shape, std::move(pixels), std::move(labels));
}

Colour grey(int level) {
  auto const byte = static_cast<uint8_t>(level);
  return {byte, byte, byte};
}

}  // namespace

TEST_CASE("Canvas: shapes across the edges -> clipped") {
  auto const picture = drawn(5, 4, [](Canvas& canvas) {
    canvas.fill({-2, -1, 4, 3}, black);    // the lower right 2 x 2 pixels are visible
    canvas.fill({4, 3, 100, 100}, green);  // one pixel
    canvas.fill({10, 10, 2, 2}, red);      // outside
    canvas.fill({-10, 0, 3, 3}, red);      // outside
    canvas.blend(3, 0, black, 51);         // opacity 1/5
    canvas.blend(-1, 0, red, 255);
    canvas.blend(0, 4, red, 255);
  });
  CHECK(picture.width == 5);
  CHECK(picture.height == 4);
  CHECK(picture.count(black) == 4);
  CHECK(picture.at(1, 1) == black);
  CHECK(picture.count(green) == 1);
  CHECK(picture.at(4, 3) == green);
  CHECK(picture.count(red) == 0);
  CHECK(picture.at(3, 0) == grey(204));
}

TEST_CASE("Canvas::frame: box and width -> frame adjacent to the outside of the box") {
  auto const picture = drawn(9, 9, [](Canvas& canvas) { canvas.frame({3, 3, 2, 3}, 2, red); });
  CHECK(picture.count(red) == 6 * 7 - 2 * 3);
  CHECK(picture.at(1, 1) == red);
  CHECK(picture.at(6, 7) == red);
  CHECK(picture.at(2, 4) == red);
  CHECK(picture.at(3, 3) == white);
  CHECK(picture.at(0, 4) == white);
  CHECK(picture.at(7, 4) == white);
}

TEST_CASE("Canvas::image: pixels -> squares; three channels -> RGB, otherwise gray; clamped") {
  std::vector<float> const colours{1, 0, 0.2f, 0, 1, 2};  // (1, 2, 3)
  std::vector<float> const greys{0.5f, 9, -3, 9};         // (1, 2, 2)
  auto const picture = drawn(6, 6, [&](Canvas& canvas) {
    canvas.image(colours.data(), {1, 2, 3}, 0, 0, 3);
    canvas.image(greys.data(), {1, 2, 2}, 0, 3, 3);
  });
  CHECK(picture.count({255, 0, 51}) == 9);
  CHECK(picture.at(2, 2) == Colour{255, 0, 51});
  CHECK(picture.at(3, 0) == Colour{0, 255, 255});
  CHECK(picture.at(0, 3) == grey(128));
  CHECK(picture.at(5, 5) == black);
}

TEST_CASE("Canvas::save_png: file cannot be written -> IoError with its path") {
  Canvas canvas(2, 2, white);
  CHECK_THROWS_WITH(canvas.save_png("/nowhere/a.png"), Catch::Contains("/nowhere/a.png"));
  CHECK_THROWS_AS(canvas.save_png("/nowhere/a.png"), train::IoError);
}

TEST_CASE("Lettering: text -> ink within width(), if a font is installed") {
  train::Lettering lettering;
  std::string const text = "Mm 12 \xE4\xB8\x80";
  int64_t const width = lettering.width(text, 20);
  auto const picture = drawn(200, 40, [&](Canvas& canvas) {
    lettering.write(canvas, 10, 30, text, 20, black);
    lettering.write(canvas, 10, 30, "\xFF\xE4", 20, black);  // invalid UTF-8: no ink
  });
  int64_t inked = 0;
  for (int64_t x = 0; x < 200; ++x)
    for (int64_t y = 0; y < 40; ++y) {
      if (picture.at(x, y) == white) continue;
      ++inked;
      CHECK((x >= 9 && x <= 10 + width && y >= 8 && y < 38));
    }
  CHECK((inked > 0) == (width > 0));
  if (width > 0)
    CHECK(lettering.width(text, 40) == Approx(2.0 * static_cast<double>(width)).epsilon(0.1));
}

TEST_CASE("draw_predictions: samples -> tiles of sample and classes, green or red frames") {
  // Class 0 is gray level 51, class 1 is 102; class 2 has no training image.
  Task task{3, greys("train", {0.2f, 0.4f, 0.9f}, {0, 1, 0}), {}, {}};
  task.class_name = [](int64_t label) {
    return std::array{"zero", "one", "two"}[static_cast<size_t>(label)];
  };
  task.evaluation = {greys("first", {0.6f, 0.8f}, {0, 1}), greys("second", {1}, {2})};
  auto const& first = task.evaluation[0];
  auto const& second = task.evaluation[1];
  std::vector<Shown> const samples{
      {&first, {0, 0, {0, 1, 2}}},   // right
      {&first, {1, 1, {0, 1, 2}}},   // wrong
      {&second, {0, 2, {1, 0, 2}}},  // wrong; the true class has no image
      {&first, {1, 1, {1}}}};        // right
  TemporaryFolder folder;
  draw_predictions(folder.file("p.png"), task, samples);
  auto const picture = read_png(folder.file("p.png"));

  // Margins of 24, names 72 wide; columns of 96 plus a frame of 8, 10 apart.
  CHECK(picture.width == 48 + 72 + 3 * 104 + 2 * 10);
  // Bands 24 apart: header of 40, three tiles of 64 + 8, gap of 10 below the sample, captions
  // of 20.
  constexpr int64_t band = 40 + 3 * 72 + 10 + 40;
  CHECK(picture.height == 48 + 2 * band + 24);
  constexpr int64_t frame = 104 * 72 - 96 * 64;
  CHECK(picture.count(green) == 2 * frame);
  CHECK(picture.count(red) == 2 * frame);
  CHECK(picture.count(neutral) == (4 + 2) * frame);

  auto const x = [](int column) { return int64_t{24 + 72 + 4 + column * 114}; };
  auto const y = [](int row, int line) {
    return int64_t{24 + row * (band + 24) + 44 + std::array{0, 82, 174}[static_cast<size_t>(line)]};
  };
  CHECK(picture.at(x(0), y(0, 0)) == grey(153));
  CHECK(picture.at(x(0) + 95, y(0, 0) + 63) == grey(153));
  CHECK(picture.at(x(0), y(0, 1)) == grey(51));
  CHECK(picture.at(x(0) - 1, y(0, 1)) == green);
  CHECK(picture.at(x(1), y(0, 0)) == grey(204));
  CHECK(picture.at(x(1), y(0, 1)) == grey(51));
  CHECK(picture.at(x(1) - 1, y(0, 1)) == red);
  CHECK(picture.at(x(1), y(0, 2)) == grey(102));
  CHECK(picture.at(x(1) - 1, y(0, 2)) == neutral);
  CHECK(picture.at(x(2), y(0, 1)) == grey(102));
  CHECK(picture.at(x(2) - 1, y(0, 1)) == green);
  CHECK(picture.at(x(0), y(1, 0)) == grey(255));
  CHECK(picture.at(x(0), y(1, 1)) == grey(102));
  CHECK(picture.at(x(0) - 1, y(1, 1)) == red);
  CHECK(picture.at(x(0) - 1, y(1, 2)) == neutral);
  CHECK_FALSE(picture.at(x(0), y(1, 2)) == grey(51));  // empty tile
}

TEST_CASE("draw_predictions: large images -> not magnified; no samples -> core::Error") {
  TemporaryFolder folder;
  ImageShape const large{120, 130, 3};
  auto const set = make_split("large", large, std::vector<float>(120 * 130 * 3, 0), {0});
  Task const task{1, set, {set}, {}};
  draw_predictions(folder.file("p.png"), task, {{&task.evaluation[0], {0, 0, {0}}}});
  auto const picture = read_png(folder.file("p.png"));
  CHECK(picture.width == 48 + 72 + 138);
  CHECK(picture.count(black) == 2 * 120 * 130);
  CHECK_THROWS_AS(draw_predictions(folder.file("p.png"), task, {}), core::Error);
}

TEST_CASE("SampleDraw: seed and count -> distinct samples, a function of the seed") {
  auto const split = tests::known_split(50);
  auto const draw = [&](int64_t count, uint64_t seed) {
    return SampleDraw(split, count, seed).samples();
  };
  auto const twelve = draw(12, 1);
  CHECK(twelve.size() == 12);
  CHECK(std::set(twelve.begin(), twelve.end()).size() == 12);
  CHECK(std::ranges::all_of(twelve, [](int64_t i) { return i >= 0 && i < 50; }));
  CHECK(draw(12, 1) == twelve);
  CHECK(draw(12, 2) != twelve);
  auto const all = draw(99, 1);
  CHECK(std::set(all.begin(), all.end()).size() == 50);
  CHECK(SampleDraw(tests::known_split(0), 12, 1).samples().empty());
}

TEST_CASE("SampleDraw::gather: some samples not seen -> the others, in the order of the draw") {
  core::Device& device = tests::device();
  comm::Self self;
  auto const split = tests::known_split(50);
  SampleDraw draw(split, 12, 3);
  auto const unseen = draw.samples()[4];
  for (int64_t i = 0; i < 50; ++i)
    if (i != unseen) draw.see({i, i % 8, {i % 8, 7, 0}});
  auto expected = draw.samples();
  expected.erase(expected.begin() + 4);
  std::vector<int64_t> got;
  for (auto const& [from, prediction] : draw.gather(device, self)) {
    got.push_back(prediction.sample);
    CHECK(from == &split);
    CHECK(prediction.label == prediction.sample % 8);
    CHECK(prediction.best == std::vector<int64_t>{prediction.sample % 8, 7, 0});
  }
  CHECK(got == expected);
}
