#pragma once
#include <array>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
#include "train/config/yaml.h"

namespace train {

/// Valid range of a number. `word` ("auto") is accepted in place of the number; null: no such word.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool open_low = false, open_high = false;
  char const* word = nullptr;

  bool holds(double value) const;
  std::string text() const;  ///< " at least 1"; "" without limits
  constexpr Range or_word(char const* absent) const {
    Range range = *this;
    range.word = absent;
    return range;
  }
};

constexpr Range at_least(double low) { return {.low = low}; }
constexpr Range above(double low) { return {.low = low, .open_low = true}; }
constexpr Range between(double low, double high) { return {.low = low, .high = high}; }
constexpr Range below(double low, double high) {
  return {.low = low, .high = high, .open_high = true};
}

template <size_t count>
using Names = std::array<std::string_view, count>;

/// Names of the values of an enum in experiment files, in the order of the values 0, 1, ...
template <class Enum>
inline constexpr Names<0> names{};

/// Returns "; did you mean 'rate'?" if a known word is similar, otherwise "; choose from" and all
/// of them.
std::string suggest(std::string_view wrong, std::vector<std::string_view> const& known);

// Conversions of a scalar. They return an error message, or "" if the value is valid.
std::string convert(Node const& node, bool& into);
std::string convert(Node const& node, double& into);
std::string convert(Node const& node, std::string& into);
/// Converts a code point, written U+4E00.
std::string convert_code_point(Node const& node, uint32_t& into);
/// Returns in `digits` the decimal digits of a whole number, which may be written 1_000_000, 1e6 or
/// 2.5e3.
std::string convert_digits(Node const& node, std::string& digits);
/// Returns in `into` the index of a word in `names`.
std::string convert_choice(Node const& node, std::vector<std::string_view> const& names,
                           size_t& into);
/// Describes a node in messages: "'many'", "a list".
std::string found(Node const& node);

template <std::integral T>
std::string convert(Node const& node, T& into) {
  std::string digits;
  if (auto wrong = convert_digits(node, digits); !wrong.empty()) return wrong;
  auto const [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), into);
  if (code == std::errc() && end == digits.data() + digits.size()) return "";
  return "must be in [" + std::to_string(std::numeric_limits<T>::min()) + ", " +
         std::to_string(std::numeric_limits<T>::max()) + "], not " + node.text;
}

// The inverse: text that `convert` reads back as the same value.
std::string written(bool value);
std::string written(std::string const& text);  ///< in quotes
/// The shortest text that reads back as the same number, with a point before an exponent, because
/// YAML 1.1 parsers read 1e-05 as a string.
std::string written(double value);
std::string written_code_point(uint32_t value);

template <std::integral T>
std::string written(T value) {
  return std::to_string(value);
}

template <class T>
requires std::is_arithmetic_v<T> std::string written(T value, Range const&) {
  return written(value);
}

template <class T>
std::string written(std::optional<T> const& value, Range const& range) {
  return value ? written(*value) : range.word;
}

/// A vector or array of numbers.
template <class Numbers>
requires requires(Numbers const& n) { n.begin(); }
std::string written(Numbers const& values, Range const&) {
  std::string text;
  for (auto const value : values) text += (text.empty() ? "" : ", ") + written(value);
  return "[" + text + "]";
}

std::string written(std::vector<std::string> const& texts);

template <class Enum>
std::string written_choice(Enum value) {
  return std::string(names<Enum>.at(static_cast<size_t>(value)));
}

}  // namespace train
