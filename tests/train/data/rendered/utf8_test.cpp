#include "train/data/rendered/utf8.h"
#include <catch2/catch.hpp>
#include <vector>

namespace {

std::vector<uint32_t> characters(std::string_view text) {
  std::vector<uint32_t> all;
  while (!text.empty()) all.push_back(train::take_character(text));
  return all;
}

}  // namespace

TEST_CASE("take_character: every valid code point after append_utf8 -> the same", "[utf8]") {
  for (uint32_t code = 0; code <= 0x10FFFF; ++code) {
    if (0xD800 <= code && code < 0xE000) continue;
    std::string text;
    train::append_utf8(text, code);
    std::string_view left = text;
    if (train::take_character(left) != code || !left.empty()) FAIL(code);
  }
  CHECK(characters("aż一\U0001F600") == std::vector<uint32_t>{'a', 0x17C, 0x4E00, 0x1F600});
}

TEST_CASE("take_character: invalid sequence -> no_character for each byte", "[utf8]") {
  constexpr uint32_t none = train::no_character;
  CHECK(characters("\xE5z") == std::vector<uint32_t>{none, 'z'});                // Latin-1
  CHECK(characters("\xC3") == std::vector<uint32_t>{none});                      // truncated
  CHECK(characters("\x80\xFF") == std::vector<uint32_t>{none, none});            // no lead byte
  CHECK(characters("\xC0\xAF") == std::vector<uint32_t>{none, none});            // overlong
  CHECK(characters("\xE0\x80\xAF") == std::vector<uint32_t>{none, none, none});  // overlong
  CHECK(characters("\xED\xA0\x80") == std::vector<uint32_t>{none, none, none});  // a surrogate
  CHECK(characters("\xF4\x90\x80\x80") == std::vector<uint32_t>(4, none));       // above U+10FFFF
}
