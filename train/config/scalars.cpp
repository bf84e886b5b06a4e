#include "train/config/scalars.h"
#include <algorithm>
#include <cmath>
#include <iomanip>
#include <sstream>
#include "core/check.h"

namespace train {
namespace {

/// Number of edits (insert, remove, replace, swap of neighbors) between two words.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] =
          std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

/// Returns the known word with the smallest edit distance to `wrong`, or "" if none is close
/// enough.
std::string_view nearest(std::string_view wrong, std::vector<std::string_view> const& known) {
  std::string_view best;
  size_t fewest = std::max<size_t>(1, wrong.size() / 3) + 1;
  for (auto const word : known) {
    size_t const edits = wrong.size() > 64 ? fewest : edit_distance(wrong, word);
    if (edits < fewest) {
      fewest = edits;
      best = word;
    }
  }
  return best;
}

/// Truncates long texts for messages.
std::string excerpt(std::string const& text) {
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

bool digit(char c) { return c >= '0' && c <= '9'; }

/// Removes underscores between digits. Returns false if there is one elsewhere.
bool join_digits(std::string& text) {
  for (size_t i = 0; i < text.size(); ++i)
    if (text[i] == '_' &&
        (i == 0 || i + 1 == text.size() || !digit(text[i - 1]) || !digit(text[i + 1])))
      return false;
  std::erase(text, '_');
  return true;
}

/// Checks what all kinds of numbers have in common. Returns an error message, or "" and in `text`
/// the number without underscores.
std::string number_text(Node const& node, char const* expected, std::string& text) {
  auto const wrong = core::join("expected ", expected, ", found ", found(node));
  if (node.kind != Node::Kind::scalar) return wrong;
  if (node.quoted) return wrong + " in quotes";
  text = node.text;
  std::string_view const digits = std::string_view(text).substr(text.starts_with('-') ? 1 : 0);
  if (digits.size() > 1 && digits[0] == '0' && (digit(digits[1]) || digits[1] == '_'))
    return node.text + " has a leading zero, which some YAML parsers read as octal; remove it";
  if (digits.starts_with("0x") || digits.starts_with("0o") || digits.starts_with("0b"))
    return node.text + ": write numbers in decimal";
  if (text.empty() || !join_digits(text)) return wrong;
  return "";
}

/// Parses an exponent in [0, 20), the range for 64-bit whole numbers.
bool parse_exponent(std::string_view text, int64_t& exponent) {
  if (text.starts_with('+')) text.remove_prefix(1);
  auto const [end, code] = std::from_chars(text.begin(), text.end(), exponent);
  return code == std::errc() && end == text.end() && exponent >= 0 && exponent < 20;
}

}  // namespace

bool Range::holds(double value) const {
  return (open_low ? value > low : value >= low) && (open_high ? value < high : value <= high);
}

std::string Range::text() const {
  std::string text;
  if (!std::isinf(low))
    text = std::isinf(high)
               ? core::join(open_low ? " above " : " at least ", low)
               : core::join(open_low ? " in (" : " in [", low, ", ", high, open_high ? ")" : "]");
  return word ? core::join(text, " or ", word) : text;
}

std::string suggest(std::string_view wrong, std::vector<std::string_view> const& known) {
  if (auto const word = nearest(wrong, known); !word.empty())
    return core::join("; did you mean '", word, "'?");
  std::string list;
  for (auto const word : known)
    list += (list.empty() ? "; choose from " : ", ") + std::string(word);
  return list;
}

std::string found(Node const& node) {
  switch (node.kind) {
    case Node::Kind::nothing:
      return "nothing";
    case Node::Kind::scalar:
      return core::join('\'', excerpt(node.text), '\'');
    case Node::Kind::sequence:
      return "a list";
    case Node::Kind::mapping:
      return "a mapping";
  }
  return "";
}

std::string convert(Node const& node, bool& into) {
  bool const plain = node.kind == Node::Kind::scalar && !node.quoted;
  if (!plain || (node.text != "true" && node.text != "false"))
    return "expected true or false, found " + found(node);
  into = node.text == "true";
  return "";
}

std::string convert(Node const& node, double& into) {
  std::string text;
  if (auto wrong = number_text(node, "a number", text); !wrong.empty()) return wrong;
  bool const finite = text.find_first_not_of("0123456789.eE+-") == std::string::npos;
  double value = 0;
  auto const [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code == std::errc::result_out_of_range) return "out of the range of a double: " + node.text;
  if (!finite || code != std::errc() || end != text.data() + text.size())
    return "expected a finite number, found " + found(node);
  into = value;
  return "";
}

std::string convert(Node const& node, std::string& into) {
  if (node.kind != Node::Kind::scalar && node.text.empty())
    return "expected text, found " + found(node) +
           (node.kind == Node::Kind::nothing ? R"(; write "" for an empty text)" : "");
  for (char const c : node.text)
    if ((c >= 0 && c < ' ') || c == 127) return "the text contains a control character; remove it";
  into = node.text;
  return "";
}

std::string convert_code_point(Node const& node, uint32_t& into) {
  std::string const& text = node.text;
  auto const* const last = text.data() + text.size();
  uint32_t value = 0;
  bool good = node.kind == Node::Kind::scalar && text.starts_with("U+") && text.size() <= 8;
  if (good) {
    auto const [end, code] = std::from_chars(text.data() + 2, last, value, 16);
    good = code == std::errc() && end == last && value <= 0x10FFFF;
  }
  if (!good) return "expected a code point like U+4E00, found " + found(node);
  into = value;
  return "";
}

std::string convert_digits(Node const& node, std::string& digits) {
  std::string text;
  if (auto wrong = number_text(node, "a whole number", text); !wrong.empty()) return wrong;
  auto const wrong = "expected a whole number, found " + found(node);
  size_t const e = std::min(text.find_first_of("eE"), text.size());
  digits = text.substr(0, e);
  int64_t zeros = 0;  // zeros that the exponent appends
  if (e < text.size()) {
    if (!parse_exponent(text.substr(e + 1), zeros)) return wrong;
    if (size_t const point = digits.find('.'); point != std::string::npos) {
      zeros -= static_cast<int64_t>(digits.size() - point - 1);
      digits.erase(point, 1);
    }
  }
  std::string_view const unsigned_part = std::string_view(digits).substr(digits.starts_with('-'));
  if (zeros < 0 || unsigned_part.empty() || !std::ranges::all_of(unsigned_part, digit))
    return wrong;
  digits.append(static_cast<size_t>(zeros), '0');
  return "";
}

std::string convert_choice(Node const& node, std::vector<std::string_view> const& names,
                           size_t& into) {
  if (node.kind != Node::Kind::scalar) return "expected a word, found " + found(node);
  auto const place = std::find(names.begin(), names.end(), node.text);
  if (place == names.end()) return "unknown value " + found(node) + suggest(node.text, names);
  into = static_cast<size_t>(place - names.begin());
  return "";
}

std::string written(bool value) { return value ? "true" : "false"; }

std::string written(std::string const& text) {
  std::string result = "\"";
  for (char const c : text) {
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

std::string written(std::vector<std::string> const& texts) {
  std::string list;
  for (std::string const& text : texts) list += (list.empty() ? "" : ", ") + written(text);
  return "[" + list + "]";
}

std::string written(double value) {
  std::array<char, 32> buffer;
  std::string text(buffer.begin(), std::to_chars(buffer.begin(), buffer.end(), value).ptr);
  size_t const e = text.find('e');
  if (e != std::string::npos && text.find('.') == std::string::npos) text.insert(e, ".0");
  return text;
}

std::string written_code_point(uint32_t value) {
  std::ostringstream text;
  text << "U+" << std::uppercase << std::hex << std::setw(4) << std::setfill('0') << value;
  return text.str();
}

}  // namespace train
