#pragma once
#include <functional>
#include <string>
#include "train/data/rendered/packed_words.h"

namespace train {

/// The shortest and the longest word that is a class, in letters.
inline constexpr size_t fewest_letters = 2, most_letters = 16;

/// Where the word list `name` is: itself when it has a folder, else in /usr/share/dict. Throws
/// MissingInput naming the Debian package that has it, where known.
std::string find_word_list(std::string const& name);

/// The words of a file with one on each line, in UTF-8, or in ISO 8859-1 where it is not valid
/// UTF-8, as some of Debian's are. Taken are lines of 2 to 16 letters that all pass `drawable`, in
/// lower case. Left out is a Cyrillic word whose every letter looks like a Latin one: its pictures
/// could be another word's. Letters and cases are those of the C library's Unicode tables. Throws
/// MissingInput.
PackedWords read_word_list(std::string const& path, std::function<bool(uint32_t)> const& drawable);

}  // namespace train
