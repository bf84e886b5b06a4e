#pragma once
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>
#include "core/check.h"
#include "train/config/scalars.h"
#include "train/errors.h"

namespace train {

/// An experiment file with the settings of the command line, and the errors found so far.
class Document {
 public:
  /// `name`: name of the text in messages.
  /// Throws: ConfigError if the text is not a YAML mapping.
  Document(std::string name, std::string const& text);

  /// Sets a key from the command line: "optimizer.lr=0.4". The value is the text as typed, without
  /// quoting or comments; one that begins with [ or { is a list or mapping in YAML's flow style.
  void set(std::string const& assignment);

  Node const& root() const { return root_; }

  /// Sets the position of the key at `path`, for its error messages.
  void place(std::string const& path, Mark at) { places_[path] = at; }
  /// Adds an error at the key, or at the nearest section around it whose position is set. Only the
  /// first error of a key is kept: later ones follow from it.
  void error(std::string const& path, std::string const& message);
  /// True if the key, or a section around it, has an error.
  bool failed(std::string path) const;
  /// Throws: ConfigError with all errors, in the order of the text, if there are any.
  void finish();

 private:
  void add(Mistake mistake);

  std::string name_;
  Node root_;
  std::map<std::string, Mark> places_;
  std::set<std::string> failed_;  ///< keys with an error
  std::vector<Mistake> mistakes_;
};

/// Visitor that fills a struct from a mapping; see fields.h. Keys that match no field are errors.
class Reader {
 public:
  /// `node`: the mapping; if null, all fields keep their defaults.
  Reader(Document& document, Node const* node, std::string path);

  template <class T>
  void field(char const* key, T& into, Range const& range, char const* /*meaning*/) {
    if (Node const* node = take(key)) number(*node, where(key), into, range);
  }

  /// A number, or the word for "not set" (Range::word).
  template <class T>
  void field(char const* key, std::optional<T>& into, Range const& range, char const* /*meaning*/) {
    Node const* node = take(key);
    if (!node) return;
    into.reset();
    if (node->kind == Node::Kind::scalar && node->text == range.word) return;
    number(*node, where(key), into.emplace(), range);
  }

  /// A list of exactly `count` numbers.
  template <class T, size_t count>
  void field(char const* key, std::array<T, count>& into, Range const& range,
             char const* /*meaning*/) {
    Node const* node = take(key);
    if (!node) return;
    if (node->kind != Node::Kind::sequence || node->entries.size() != count)
      return note(where(key),
                  core::join("expected a list of ", count, " numbers, found ", found(*node)));
    for (size_t i = 0; i < count; ++i)
      number(node->entries[i].value, element(key, i, *node), into[i], range);
  }

  /// One number, or a list.
  template <class T>
  void field(char const* key, std::vector<T>& into, Range const& range, char const* /*meaning*/) {
    Node const* node = take(key);
    if (!node) return;
    if (node->kind != Node::Kind::sequence) {
      into.resize(1);
      return number(*node, where(key), into[0], range);
    }
    into.resize(node->entries.size());
    for (size_t i = 0; i < into.size(); ++i)
      number(node->entries[i].value, element(key, i, *node), into[i], range);
  }

  /// A list of strings.
  void field(char const* key, std::vector<std::string>& into, char const* /*meaning*/) {
    Node const* node = take(key);
    if (!node) return;
    if (node->kind != Node::Kind::sequence)
      return note(where(key), "expected a list, found " + found(*node));
    into.resize(node->entries.size());
    for (size_t i = 0; i < into.size(); ++i)
      note(element(key, i, *node), convert(node->entries[i].value, into[i]));
  }

  /// A boolean or a string.
  template <class T>
  void field(char const* key, T& into, char const* /*meaning*/) {
    if (Node const* node = take(key)) note(where(key), convert(*node, into));
  }

  void code_point(char const* key, uint32_t& into, char const* /*meaning*/) {
    if (Node const* node = take(key)) note(where(key), convert_code_point(*node, into));
  }

  template <class Enum>
  void choice(char const* key, Enum& into, char const* /*meaning*/) {
    Node const* node = take(key);
    if (!node) return;
    size_t place = static_cast<size_t>(into);
    note(where(key), convert_choice(*node, {names<Enum>.begin(), names<Enum>.end()}, place));
    into = static_cast<Enum>(place);
  }

  /// A nested struct. `none`: word that selects its defaults; null: no such word.
  template <class Struct>
  void section(char const* key, Struct& into, char const* none = nullptr) {
    Node const* node = take(key);
    if (node && none && node->kind == Node::Kind::scalar && node->text == none) node = nullptr;
    Reader inner(document_, node, where(key));
    fields(inner, into);
    inner.done();
  }

  template <class Struct>
  void list(char const* key, std::vector<Struct>& into, char const* /*meaning*/) {
    Node const* node = take(key);
    if (!node) return;
    if (node->kind != Node::Kind::sequence)
      return note(where(key), "expected a list, found " + found(*node));
    into.assign(node->entries.size(), {});
    for (size_t i = 0; i < into.size(); ++i) {
      Reader inner(document_, &node->entries[i].value, element(key, i, *node));
      fields(inner, into[i]);
      inner.done();
    }
  }

  /// Adds an error for each key that matches no field.
  void done();

 private:
  /// Returns the value of the key, or null, and records the position of the key.
  Node const* take(char const* key);
  std::string where(std::string const& key) const {
    return path_.empty() ? key : path_ + "." + key;
  }
  std::string element(char const* key, size_t i, Node const& list);
  void note(std::string const& path, std::string const& mistake) {
    if (!mistake.empty()) document_.error(path, mistake);
  }

  template <class T>
  void number(Node const& node, std::string const& path, T& into, Range const& range) {
    auto const wrong = convert(node, into);
    if (!wrong.empty()) return note(path, wrong);
    if (!range.holds(static_cast<double>(into)))
      note(path, "must be" + range.text() + ", not " + node.text);
  }

  Document& document_;
  Node const* node_;
  std::string path_;
  std::vector<std::string_view> known_;
};

}  // namespace train
