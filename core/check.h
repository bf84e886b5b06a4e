#pragma once
#include <sstream>
#include <stdexcept>

namespace core {

/// Invalid argument, shape, file or device; the current run cannot continue. what() ends with
/// "(file:line)" of the failed check.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Source location of a call. Used as a default argument, it is the caller's location (g++, clang
/// and nvcc alike).
struct Place {
  char const* file;
  int line;
  static constexpr Place here(char const* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

/// First part of an error message, with the source location of the check. Converts from a string
/// literal at the call.
struct Located {
  char const* text;
  Place at;
  Located(char const* text, Place at = Place::here()) : text(text), at(at) {}
};

/// Concatenates the parts with operator<<.
template <class... Parts>
std::string join(Parts const&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

/// Throws: Error with the joined parts as its message, if `ok` is false. The parts are formatted
/// only then.
template <class... Parts>
void check(bool ok, Located const& first, Parts const&... rest) {
  if (ok) [[likely]]
    return;
  throw Error(join(first.text, rest..., " (", first.at.file, ':', first.at.line, ')'));
}

/// Throws: Error with the joined parts as its message, always.
template <class... Parts>
[[noreturn]] void fail(Located const& first, Parts const&... rest) {
  throw Error(join(first.text, rest..., " (", first.at.file, ':', first.at.line, ')'));
}

}  // namespace core
