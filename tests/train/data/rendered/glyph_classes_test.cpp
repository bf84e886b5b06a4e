#include "train/data/rendered/glyph_classes.h"
#include <catch2/catch.hpp>

using train::choose_classes;
using Codes = std::vector<uint32_t>;

TEST_CASE("choose_classes: min_fonts = n -> code points that n faces have") {
  std::map<uint32_t, train::Pictures> const all{
      {1, {11, 12, 13}}, {2, {21, 0, 23}}, {3, {0, 32, 0}}, {4, {0, 0, 0}}};
  CHECK(choose_classes(all, 1) == Codes{1, 2, 3});
  CHECK(choose_classes(all, 2) == Codes{1, 2});
  CHECK(choose_classes(all, 3) == Codes{1});
  CHECK(choose_classes(all, 4).empty());
  CHECK(choose_classes({}, 1).empty());
}

TEST_CASE("choose_classes: equal pictures in all common faces -> the first code point") {
  std::map<uint32_t, train::Pictures> const all{
      {1, {5, 6, 7}}, {2, {5, 6, 8}},  // 1 and 2 differ in the third face
      {3, {5, 6, 7}},                  // equal to 1
      {4, {5, 0, 8}},                  // equal to 2 in the faces that both have
      {5, {0, 6, 9}},                  // differs from 1 and 2 in the third face
      {6, {6, 5, 0}}};                 // equal hashes of different faces are unrelated
  CHECK(choose_classes(all, 2) == Codes{1, 2, 5, 6});
}

TEST_CASE("choose_classes: code point in too few faces -> does not exclude its twins") {
  CHECK(choose_classes({{1, {5, 0}}, {2, {5, 6}}}, 2) == Codes{2});
}

TEST_CASE("code_point_name: code points of 1 to 4 bytes in UTF-8 -> character and number") {
  CHECK(train::code_point_name(0x41) == "A U+0041");
  CHECK(train::code_point_name(0xE9) == "é U+00E9");
  CHECK(train::code_point_name(0x4E00) == "一 U+4E00");
  CHECK(train::code_point_name(0x20000) == "𠀀 U+20000");
}
