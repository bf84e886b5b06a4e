#pragma once
#include <sstream>
#include <stdexcept>

namespace core {

/// A wrong argument, shape, file or device: the run cannot go on. what() ends with file:line.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Where a call stands. As a default argument it is the caller's place (g++, clang and nvcc alike).
struct Place {
  char const* file;
  int line;
  static constexpr Place here(char const* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

/// The first part of a message and its place; made from a literal at the call.
struct Located {
  char const* text;
  Place at;
  Located(char const* text, Place at = Place::here()) : text(text), at(at) {}
};

/// The parts of a message in one string.
template <class... Parts>
std::string join(Parts const&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

/// Throws Error with the message's parts joined, unless `ok`. The parts cost nothing when it holds.
template <class... Parts>
void check(bool ok, Located const& first, Parts const&... rest) {
  if (ok) [[likely]]
    return;
  throw Error(join(first.text, rest..., " (", first.at.file, ':', first.at.line, ')'));
}

/// Throws Error with the message's parts joined.
template <class... Parts>
[[noreturn]] void fail(Located const& first, Parts const&... rest) {
  throw Error(join(first.text, rest..., " (", first.at.file, ':', first.at.line, ')'));
}

}  // namespace core
