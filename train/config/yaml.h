#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace train {

/// Line and column in a text, from 1. Line 0: the command line.
struct Mark {
  int line = 0, column = 0;
};

/// A node of a YAML document. yaml-cpp's own nodes lose quotes, keep the first of two equal keys
/// and resolve aliases; these are built from its parser events.
struct Node {
  enum class Kind { nothing, scalar, sequence, mapping };
  struct Entry;

  Kind kind = Kind::nothing;
  std::string text{};  ///< text of a scalar; of any value from the command line, as typed
  bool quoted = false;
  Mark at{};
  std::vector<Entry> entries;  ///< entries of a sequence (with empty keys) or mapping

  /// Returns the value of a key of a mapping, or null.
  Node const* find(std::string_view key) const;
};

struct Node::Entry {
  std::string key;
  Mark at{};
  Node value{};
};

/// An error in an experiment, at a key like "data.glyphs.train[0].path", or "" for the whole file.
struct Mistake {
  Mark at{};
  std::string path, message;
};

/// Parses one YAML document of the subset that experiments need: mappings, lists and scalars,
/// without tabs, tags, anchors, aliases and duplicate keys. Adds errors to `mistakes`; after a
/// syntax error the returned node is `nothing`.
Node parse_yaml(std::string const& text, std::vector<Mistake>& mistakes);

}  // namespace train
