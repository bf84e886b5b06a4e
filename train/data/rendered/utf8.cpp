#include "train/data/rendered/utf8.h"

namespace train {
namespace {

/// Length in bytes of the sequence with this lead byte; 0 if the byte is not a lead byte.
size_t length_of(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

}  // namespace

uint32_t take_character(std::string_view& text) {
  auto const lead = static_cast<uint8_t>(text[0]);
  size_t const length = length_of(lead);
  uint32_t point = length == 1 ? lead : lead & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) {
    auto const byte = i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0};
    if ((byte & 0xC0) != 0x80) point = no_character;
    if (point != no_character) point = point << 6 | (byte & 0x3Fu);
  }
  constexpr uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};  // smaller ones are overlong encodings
  bool const surrogate = 0xD800 <= point && point < 0xE000;
  bool const good = length > 0 && least[length] <= point && point <= 0x10FFFF && !surrogate;
  text.remove_prefix(good ? length : 1);
  return good ? point : no_character;
}

void append_utf8(std::string& text, uint32_t code) {
  auto const tail = [&](int shift) { text += static_cast<char>(0x80 | ((code >> shift) & 0x3F)); };
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | (code >> 6));
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0 | (code >> 12));
  } else {
    text += static_cast<char>(0xF0 | (code >> 18));
    tail(12);
  }
  if (code >= 0x800) tail(6);
  if (code >= 0x80) tail(0);
}

}  // namespace train
