#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace train {

/// Result of take_character for a byte that does not start a valid UTF-8 sequence.
inline constexpr uint32_t no_character = UINT32_MAX;

/// Removes the first character from non-empty UTF-8 text and returns its code point. For an invalid
/// sequence, removes one byte and returns no_character.
uint32_t take_character(std::string_view& text);

/// Appends a code point, encoded in UTF-8.
void append_utf8(std::string& text, uint32_t code_point);

}  // namespace train
