#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <thread>
#include "tests/train/files.h"
#include "train/data/dataset.h"
#include "train/data/rendered/font.h"
#include "train/data/rendered/glyph_sheet.h"
#include "train/errors.h"

using Catch::Contains;
using tests::TemporaryFolder;
using train::Face;
using train::GlyphSheet;
using train::SheetKey;

namespace {

namespace fs = std::filesystem;

Face const sans{"NotoSansCJK-Regular.ttc", 2, "Noto Sans SC"};
Face const serif{"NotoSerifCJK-Regular.ttc", 2, "Noto Serif SC"};
Face const uming{"uming.ttc", 0, "UMing"};
Face const zen_hei{"wqy-zenhei.ttc", 0, "WQY Zen Hei"};

/// Key of the first 65 ideographs in Noto Sans.
SheetKey key() { return {train::find_font(sans.path), 2, 0x4E00, 0x4E40, 32}; }

fs::path only_file(fs::path const& folder) {
  std::vector<fs::path> const files(fs::directory_iterator(folder), {});
  REQUIRE(files.size() == 1);
  return files[0];
}

/// Reads all code points and pictures of a sheet.
train::Drawing contents(GlyphSheet const& sheet) {
  train::Drawing drawing{sheet.code_points(), {}};
  drawing.pictures.resize(sheet.code_points().size() * 1024);
  for (size_t row = 0; row < sheet.code_points().size(); ++row)
    sheet.read(row, drawing.pictures.data() + row * 1024);
  return drawing;
}

bool equal(train::Drawing const& a, train::Drawing const& b) {
  return a.code_points == b.code_points && a.pictures == b.pictures;
}

struct Fixture {
  TemporaryFolder folder;
  train::DataConfig config;
  Fixture() {
    config.kind = train::DataKind::glyphs;
    config.glyphs = {.train = {sans, serif, uming},
                     .test = {zen_hei},
                     .first = 0x4E00,
                     .last = 0x4E40,
                     .cache = folder.path()};
  }
  train::Task open() const { return train::open_task(config, 1); }
};

}  // namespace

TEST_CASE("Font::draw: U+4E00 -> centered horizontal bar; U+4E28 -> centered vertical bar") {
  train::Font font(train::find_font(sans.path), 2);
  CHECK(font.family() == "Noto Sans CJK SC");
  std::vector<uint8_t> bar(1024), pole(1024);
  REQUIRE(font.draw(font.glyph(0x4E00), 32, bar.data()));
  REQUIRE(font.draw(font.glyph(0x4E28), 32, pole.data()));
  for (size_t y = 0; y < 32; ++y)
    for (size_t x = 0; x < 32; ++x) {
      bool const middle = y == 15 || y == 16;
      if (middle && x >= 3 && x < 29) CHECK(bar[y * 32 + x] > 100);
      if (y < 13 || y > 18) CHECK(bar[y * 32 + x] == 0);
      if (x < 13 || x > 18) CHECK(pole[y * 32 + x] == 0);
      // The bar is centered, so the picture is symmetric up to one gray level of rounding.
      CHECK(std::abs(bar[y * 32 + x] - bar[(31 - y) * 32 + x]) <= 1);
    }
}

TEST_CASE("Font::draw: too much ink -> scaled down to fit; blank glyph -> false") {
  train::Font font(train::find_font(sans.path), 2);
  std::vector<uint8_t> picture(33 * 33);
  REQUIRE(font.draw(font.glyph(0x2E3A), 33, picture.data()));  // a dash of two em
  auto const ink_in_column = [&](size_t x) {
    for (size_t y = 0; y < 33; ++y)
      if (picture[y * 33 + x] > 0) return true;
    return false;
  };
  CHECK(ink_in_column(0));
  CHECK(ink_in_column(32));
  CHECK_FALSE(font.draw(font.glyph(0x3000), 33, picture.data()));  // an ideographic space
  CHECK(font.glyph(0x10FFFF) == 0);
}

TEST_CASE("GlyphSheet: drawn again or read from the cache -> identical pictures") {
  TemporaryFolder folder;
  train::Drawing const drawn = train::draw_sheet(key());
  CHECK(drawn.code_points.size() == 65);
  CHECK(equal(drawn, train::draw_sheet(key())));
  CHECK(equal(drawn, contents(GlyphSheet(key(), folder.file("new/cache")))));
  fs::path const file = only_file(folder.file("new/cache"));
  auto const written = fs::last_write_time(file);
  GlyphSheet const again(key(), folder.file("new/cache"));
  CHECK(equal(drawn, contents(again)));
  CHECK(fs::last_write_time(file) == written);
  CHECK(std::set(again.hashes().begin(), again.hashes().end()).size() == 65);
}

TEST_CASE("GlyphSheet: different range, size or face -> separate cache files") {
  TemporaryFolder folder;
  SheetKey other[] = {key(), key(), key(), key()};
  other[1].last = 0x4E10;
  other[2].size = 31;
  other[3].index = 0;
  for (SheetKey const& each : other) GlyphSheet(each, folder.path());
  CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 4);
}

TEST_CASE("GlyphSheet: damaged cache file -> drawn again") {
  TemporaryFolder folder;
  train::Drawing const drawn = contents(GlyphSheet(key(), folder.path()));
  fs::path const file = only_file(folder.path());
  std::string const whole = tests::read_file(file);
  std::string pixel = whole, code = whole, source = whole;
  pixel[whole.size() - 500] ^= 1;
  code[whole.size() - 65 * 1024 - 4] ^= 1;  // the last code point
  source[whole.find("pixels, version")] = 'P';
  for (std::string const& damaged : {pixel, code, source, whole.substr(0, whole.size() - 1),
                                     whole.substr(0, 20), std::string()}) {
    tests::write_file(file, damaged);
    CHECK(equal(drawn, contents(GlyphSheet(key(), folder.path()))));
    CHECK(tests::read_file(only_file(folder.path())) == whole);
  }
}

TEST_CASE("GlyphSheet: concurrent writers of the cache -> identical pictures, one file") {
  TemporaryFolder folder;
  train::Drawing const drawn = train::draw_sheet(key());
  std::vector<int> good(4);
  std::vector<std::thread> threads;
  for (int& result : good)
    threads.emplace_back(
        [&] { result = equal(drawn, contents(GlyphSheet(key(), folder.path()))); });
  for (std::thread& thread : threads) thread.join();
  CHECK(good == std::vector{1, 1, 1, 1});
  only_file(folder.path());
}

TEST_CASE("GlyphSheet: cache folder cannot be written -> IoError with its path") {
  CHECK_THROWS_AS(GlyphSheet(key(), "/proc/none"), train::IoError);
  CHECK_THROWS_WITH(GlyphSheet(key(), "/proc/none"), Contains("/proc/none"));
}

TEST_CASE("drop_placeholders: picture shared by more than 16 code points -> removed") {
  train::Drawing drawing;
  for (uint32_t i = 0; i < 36; ++i) {
    drawing.code_points.push_back(100 + i);
    uint8_t const box = i % 2 ? 1 : 2;  // 18 of each before the changes below
    std::vector<uint8_t> const picture(4, i < 2 || i > 33 ? static_cast<uint8_t>(i + 10)
                                          : i == 33       ? uint8_t{2}
                                                          : box);
    drawing.pictures.insert(drawing.pictures.end(), picture.begin(), picture.end());
  }
  train::drop_placeholders(drawing, 4);  // removes 17 of box 2, keeps box 1
  CHECK(drawing.code_points.size() == 36 - 17);
  CHECK(drawing.pictures.size() == 4 * (36 - 17));
  CHECK(drawing.code_points[0] == 100);
  CHECK(drawing.code_points[2] == 103);
  CHECK(drawing.pictures[2 * 4] == 1);
  CHECK(drawing.pictures.back() == 45);
}

TEST_CASE_METHOD(Fixture,
                 "glyphs: open_task -> a sample per class and font, a split per test font") {
  train::Task const task = open();
  CHECK(task.classes == 65);
  CHECK(task.class_name(0) == "一 U+4E00");
  CHECK(task.class_name(64) == "乀 U+4E40");
  train::Dataset const& data = *task.train.data;
  CHECK(data.shape() == core::ImageShape{32, 32, 1});
  CHECK(data.size() == 3 * 65);
  CHECK(data.label(0) == 0);
  CHECK(data.label(64) == 64);
  CHECK(data.label(65) == 0);
  std::vector<float> pixels(1024);
  data.read(0, pixels.data());
  CHECK(pixels[16 * 32 + 16] > 0.4f);
  CHECK(pixels[0] == 0);
  REQUIRE(task.evaluation.size() == 1);
  CHECK(task.evaluation[0].name == "WQY Zen Hei");
  CHECK(task.evaluation[0].data->size() == 65);
}

TEST_CASE_METHOD(Fixture, "glyphs: min_fonts and classes -> fewer classes; too many -> error") {
  config.glyphs.first = 0x52D3;  // of these 65, UMing lacks 8
  config.glyphs.last = 0x5313;
  CHECK(open().classes == 65);
  CHECK(open().train.data->size() == 65 + 65 + 57);
  config.glyphs.min_fonts = 3;
  CHECK(open().classes == 57);
  CHECK(open().train.data->size() == 3 * 57);
  config.glyphs.classes = 20;
  train::Task const task = open();
  CHECK(task.classes == 20);
  CHECK(task.train.data->size() == 60);
  CHECK(task.evaluation[0].data->size() == 20);
  config.glyphs.classes = 58;
  CHECK_THROWS_AS(open(), train::ConfigError);
  CHECK_THROWS_WITH(open(), Contains("57 code points") && Contains("58 classes"));
}

TEST_CASE_METHOD(Fixture, "glyphs: code points with equal pictures in every font -> one class") {
  // The Kangxi radicals one, line and dot have the pictures of U+4E00, U+4E28 and U+4E36.
  config.glyphs.train = {sans, serif};
  config.glyphs.first = 0x2F00;
  config.glyphs.last = 0x2F02;
  CHECK(open().classes == 3);
  config.glyphs.last = 0x4E36;
  train::Task const task = open();
  std::vector<std::string> names;
  for (int64_t i = 0; i < task.classes; ++i) names.push_back(task.class_name(i));
  auto const has = [&](std::string const& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  CHECK(has("⼀ U+2F00"));
  CHECK_FALSE(has("一 U+4E00"));
  CHECK_FALSE(has("丨 U+4E28"));
  CHECK(has("丁 U+4E01"));
}

TEST_CASE_METHOD(Fixture, "glyphs: test font related to a training font -> ConfigError") {
  config.glyphs.test = {{sans.path, 0, "Noto Sans JP"}};
  CHECK_THROWS_AS(open(), train::ConfigError);
  CHECK_THROWS_WITH(open(), Contains("'Noto Sans JP'") && Contains("'Noto Sans SC'") &&
                                Contains("NotoSansCJK-Regular.ttc"));
  config.glyphs.test = {zen_hei, {"NotoSansCJK-Bold.ttc", 2, "bold"}};
  CHECK_THROWS_WITH(open(), Contains("'bold'") && Contains("both are Noto Sans CJK SC"));
}

TEST_CASE_METHOD(Fixture, "glyphs: missing font -> MissingInput with its Debian package") {
  config.glyphs.train.push_back({"LXGWWenKai-Heavy.ttf", 0, "heavy"});
  CHECK_THROWS_AS(open(), train::MissingInput);
  CHECK_THROWS_WITH(open(), Contains("LXGWWenKai-Heavy.ttf") && Contains("fonts-lxgw-wenkai"));
  config.glyphs.train.back().path = "/nowhere/own.ttf";
  CHECK_THROWS_WITH(open(), "font not found: /nowhere/own.ttf");
  config.glyphs.train.back() = {sans.path, 99, "no such face"};
  CHECK_THROWS_WITH(open(), Contains("no face 99"));
  tests::write_file(folder.file("text.ttf"), "no font");
  config.glyphs.train.back() = {folder.file("text.ttf"), 0, "text"};
  CHECK_THROWS_AS(open(), train::BadData);
}
