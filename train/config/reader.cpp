#include "train/config/reader.h"
#include <algorithm>
#include <tuple>
#include "core/check.h"
#include "train/config/foreign_keys.h"

namespace train {
namespace {

/// Marks a value as set on the command line.
void forget_place(Node& node) {
  node.at = {};
  for (Node::Entry& entry : node.entries) {
    entry.at = {};
    forget_place(entry.value);
  }
}

/// Parses a value from the command line: the text as typed, or a list or mapping in YAML's flow
/// style. A text that begins with a bracket but is not valid YAML, such as the path "[old]/a",
/// remains a text.
Node plain_value(std::string const& text) {
  Node value{.kind = Node::Kind::scalar, .text = text};
  if (!text.starts_with('[') && !text.starts_with('{')) return value;
  std::vector<Mistake> mistakes;
  Node parsed = parse_yaml(text, mistakes);
  if (!mistakes.empty()) return value;
  forget_place(parsed);
  parsed.text = text;
  return parsed;
}

/// Returns the mapping's entry for `key`; adds it if it is missing.
Node& entry(Node& mapping, std::string const& key) {
  for (Node::Entry& entry : mapping.entries)
    if (entry.key == key) return entry.value;
  return mapping.entries.emplace_back(Node::Entry{.key = key}).value;
}

/// Returns the path of the enclosing section or list: "data.glyphs" for "data.glyphs.train", then
/// "data", then "".
std::string parent(std::string const& path) {
  size_t const end = path.find_last_of(".[");
  return end == std::string::npos ? "" : path.substr(0, end);
}

}  // namespace

Document::Document(std::string name, std::string const& text) : name_(std::move(name)) {
  std::vector<Mistake> mistakes;
  root_ = parse_yaml(text, mistakes);
  for (Mistake& mistake : mistakes) add(std::move(mistake));
  place("", {1, 1});
  if (root_.kind == Node::Kind::mapping) return;
  error("", root_.kind == Node::Kind::nothing ? "the file is empty"
                                              : "expected a mapping, found " + found(root_));
  finish();
}

void Document::set(std::string const& assignment) {
  size_t const equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0)
    return add({{}, "", "expected key=value, found '" + assignment + "'"});
  std::string const path = assignment.substr(0, equals);
  Node value = plain_value(assignment.substr(equals + 1));
  Node* node = &root_;
  for (size_t begin = 0; begin <= path.size();) {
    size_t const end = std::min(path.find('.', begin), path.size());
    if (node->kind != Node::Kind::mapping) *node = {.kind = Node::Kind::mapping};
    node = &entry(*node, path.substr(begin, end - begin));
    begin = end + 1;
  }
  *node = std::move(value);
}

void Document::error(std::string const& path, std::string const& message) {
  if (failed_.contains(path)) return;
  std::string known = path;
  while (!places_.contains(known)) known = parent(known);
  add({places_.at(known), path, message});
}

bool Document::failed(std::string path) const {
  auto const element = failed_.lower_bound(path + '[');
  if (element != failed_.end() && element->starts_with(path + '[')) return true;
  while (!path.empty() && !failed_.contains(path)) path = parent(path);
  return !path.empty();
}

void Document::add(Mistake mistake) {
  failed_.insert(mistake.path);
  mistakes_.push_back(std::move(mistake));
}

void Document::finish() {
  if (mistakes_.empty()) return;
  // Errors of the command line (line 0) come last.
  std::ranges::stable_sort(mistakes_, {}, [](Mistake const& mistake) {
    return std::tuple(mistake.at.line == 0, mistake.at.line, mistake.at.column);
  });
  std::string text;
  if (mistakes_.size() > 1) text = core::join(mistakes_.size(), " errors");
  for (Mistake const& mistake : mistakes_) {
    if (!text.empty()) text += '\n';
    if (mistake.at.line == 0)
      text += "command line: ";
    else
      text += core::join(name_, ':', mistake.at.line, ':', mistake.at.column, ": ");
    text += (mistake.path.empty() ? "" : mistake.path + ": ") + mistake.message;
  }
  throw ConfigError(text);
}

Reader::Reader(Document& document, Node const* node, std::string path)
    : document_(document), node_(node), path_(std::move(path)) {
  if (!node_ || node_->kind == Node::Kind::mapping) return;
  // A section whose keys are all commented out keeps its defaults.
  if (node_->kind != Node::Kind::nothing) note(path_, "expected a mapping, found " + found(*node_));
  node_ = nullptr;
}

Node const* Reader::take(char const* key) {
  known_.push_back(key);
  if (!node_) return nullptr;
  for (Node::Entry const& entry : node_->entries) {
    if (entry.key != key) continue;
    bool const section = entry.value.kind == Node::Kind::mapping;
    bool const written = entry.value.kind != Node::Kind::nothing;
    document_.place(where(key), written && !section ? entry.value.at : entry.at);
    return &entry.value;
  }
  return nullptr;
}

std::string Reader::element(char const* key, size_t i, Node const& list) {
  std::string const path = core::join(where(key), '[', i, ']');
  document_.place(path, list.entries[i].value.at);
  return path;
}

void Reader::done() {
  if (!node_) return;
  for (Node::Entry const& entry : node_->entries) {
    if (std::ranges::find(known_, entry.key) != known_.end()) continue;
    document_.place(where(entry.key), entry.at);
    auto const meant = key_meant_by(entry.key);
    note(where(entry.key), "unknown key" + (meant.empty() ? suggest(entry.key, known_)
                                                          : "; did you mean '" + meant + "'?"));
  }
}

}  // namespace train
