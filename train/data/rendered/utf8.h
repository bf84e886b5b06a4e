#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace train {

/// What stands for a byte that begins no character.
inline constexpr uint32_t no_character = UINT32_MAX;

/// Takes the first character off UTF-8 text that is not empty; a byte that begins none is taken
/// alone.
uint32_t take_character(std::string_view& text);

void append_utf8(std::string& text, uint32_t code_point);

}  // namespace train
