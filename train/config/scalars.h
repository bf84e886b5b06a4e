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

/// What a number may be; a word ("auto") may stand for its absence.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool open_low = false, open_high = false;
  char const* word = nullptr;

  bool holds(double value) const;
  std::string text() const;  ///< " at least 1"; "" where anything goes
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

/// How experiments write the values of an enum: those of 0, 1, ... in this order.
template <class Enum>
inline constexpr Names<0> names{};

/// "; did you mean 'rate'?", or what there is to choose from.
std::string suggest(std::string_view wrong, std::vector<std::string_view> const& known);

// Conversions of a scalar. They return what is wrong with it, or "".
std::string convert(Node const& node, bool& into);
std::string convert(Node const& node, double& into);
std::string convert(Node const& node, std::string& into);
/// U+4E00
std::string convert_code_point(Node const& node, uint32_t& into);
/// The decimal digits of a whole number, which may be written 1_000_000, 1e6 or 2.5e3.
std::string convert_digits(Node const& node, std::string& digits);
/// The place of a word among `names`.
std::string convert_choice(Node const& node, std::vector<std::string_view> const& names,
                           size_t& into);
/// "'many'", "a list": as messages say what was found.
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

// The inverse: as `convert` reads it back.
std::string written(bool value);
std::string written(std::string const& text);  ///< in quotes
/// The shortest number that reads back the same, with a point before an exponent: readers of
/// YAML 1.1 take 1e-05 for text.
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
