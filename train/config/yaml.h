#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace train {

/// Line and column of a text, from 1. Line 0: the command line.
struct Mark {
  int line = 0, column = 0;
};

/// A piece of YAML as it was written. yaml-cpp's own nodes forget quotes, keep the first of two
/// equal keys and unfold aliases; these come from its events.
struct Node {
  enum class Kind { nothing, scalar, sequence, mapping };
  struct Entry;

  Kind kind = Kind::nothing;
  std::string text{};  ///< a scalar's text; from the command line, any value's text as typed
  bool quoted = false;
  Mark at{};
  std::vector<Entry> entries;  ///< of a sequence (keys empty) or mapping

  /// The value of a mapping's key, or null.
  Node const* find(std::string_view key) const;
};

struct Node::Entry {
  std::string key;
  Mark at{};
  Node value{};
};

/// Something wrong in an experiment, at a key like "data.glyphs.train[0].path" or "".
struct Mistake {
  Mark at{};
  std::string path, message;
};

/// Reads one document of the subset that experiments need: mappings, lists and scalars, without
/// tabs, tags, anchors, aliases and duplicate keys. Adds to `mistakes` what is not; after a syntax
/// error the node is `nothing`.
Node parse_yaml(std::string const& text, std::vector<Mistake>& mistakes);

}  // namespace train
