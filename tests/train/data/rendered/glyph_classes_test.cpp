#include "train/data/rendered/glyph_classes.h"
#include <catch2/catch.hpp>

using train::choose_classes;
using Codes = std::vector<uint32_t>;

TEST_CASE("glyph classes: a code point needs its number of faces") {
  std::map<uint32_t, train::Pictures> const all{
      {1, {11, 12, 13}}, {2, {21, 0, 23}}, {3, {0, 32, 0}}, {4, {0, 0, 0}}};
  CHECK(choose_classes(all, 1) == Codes{1, 2, 3});
  CHECK(choose_classes(all, 2) == Codes{1, 2});
  CHECK(choose_classes(all, 3) == Codes{1});
  CHECK(choose_classes(all, 4).empty());
  CHECK(choose_classes({}, 1).empty());
}

TEST_CASE("glyph classes: of twins the first is kept, a face that differs makes two classes") {
  std::map<uint32_t, train::Pictures> const all{
      {1, {5, 6, 7}}, {2, {5, 6, 8}},  // the third face tells 1 and 2 apart
      {3, {5, 6, 7}},                  // 1 again
      {4, {5, 0, 8}},                  // as 2 wherever both are
      {5, {0, 6, 9}},                  // the third face tells it from 1 and 2
      {6, {6, 5, 0}}};                 // the same numbers in other faces mean nothing
  CHECK(choose_classes(all, 2) == Codes{1, 2, 5, 6});
}

TEST_CASE("glyph classes: what is left out for want of faces takes no twin with it") {
  CHECK(choose_classes({{1, {5, 0}}, {2, {5, 6}}}, 2) == Codes{2});
}

TEST_CASE("glyph classes: names at every length of UTF-8") {
  CHECK(train::code_point_name(0x41) == "A U+0041");
  CHECK(train::code_point_name(0xE9) == "é U+00E9");
  CHECK(train::code_point_name(0x4E00) == "一 U+4E00");
  CHECK(train::code_point_name(0x20000) == "𠀀 U+20000");
}
