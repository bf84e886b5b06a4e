#pragma once
#include <functional>
#include <string>
#include "train/data/rendered/packed_words.h"

namespace train {

/// Minimum and maximum number of letters of a word.
inline constexpr size_t fewest_letters = 2, most_letters = 16;

/// Returns the path of word list `name`: `name` itself if it contains a slash, else the file in
/// /usr/share/dict.
/// Throws: MissingInput with the Debian package of the list, if known.
std::string find_word_list(std::string const& name);

/// Reads a word list with one word per line. The file is UTF-8, or ISO 8859-1 if it is not valid
/// UTF-8, as some of Debian's lists are. Returns, in lower case, the lines of 2 to 16 letters that
/// all satisfy `drawable`. Cyrillic words are left out if every letter looks like a Latin one,
/// since their pictures could equal those of another word. Letters and case follow the C library's
/// Unicode tables.
/// Throws: MissingInput.
PackedWords read_word_list(std::string const& path, std::function<bool(uint32_t)> const& drawable);

}  // namespace train
