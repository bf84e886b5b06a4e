#include "train/config/yaml.h"
#include <map>
#include <sstream>
#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>
#include "core/check.h"

namespace train {
namespace {

Mark place(YAML::Mark const& mark) { return {mark.line + 1, mark.column + 1}; }

/// Builds a tree from the parser events of a document.
class Builder : public YAML::EventHandler {
 public:
  explicit Builder(std::vector<Mistake>& mistakes) : mistakes_(mistakes) {}

  Node take() { return std::move(root_); }

  void OnDocumentStart(YAML::Mark const& mark) override {
    if (++documents_ == 2)
      refuse(mark, "text after the end of the document: a second document, or an extra bracket");
  }
  void OnDocumentEnd() override {}
  void OnNull(YAML::Mark const& mark, YAML::anchor_t) override {
    attach({.kind = Node::Kind::nothing, .at = place(mark)});
  }
  void OnAlias(YAML::Mark const& mark, YAML::anchor_t) override {
    refuse(mark, "aliases (*name) are not supported; write the value itself");
    attach({.kind = Node::Kind::nothing, .at = place(mark)});
  }
  void OnAnchor(YAML::Mark const& mark, std::string const&) override {
    refuse(mark, "anchors (&name) are not supported; remove the anchor");
  }
  void OnScalar(YAML::Mark const& mark, std::string const& tag, YAML::anchor_t,
                std::string const& value) override {
    check_tag(mark, tag);
    attach({.kind = Node::Kind::scalar, .text = value, .quoted = tag == "!", .at = place(mark)});
  }
  void OnSequenceStart(YAML::Mark const& mark, std::string const& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    check_tag(mark, tag);
    open_.push_back({.node = {.kind = Node::Kind::sequence, .at = place(mark)}});
  }
  void OnMapStart(YAML::Mark const& mark, std::string const& tag, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    check_tag(mark, tag);
    open_.push_back({.node = {.kind = Node::Kind::mapping, .at = place(mark)}});
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

 private:
  /// A list or mapping under construction.
  struct Open {
    Node node;
    bool has_key = false;
    std::string key{};
    Mark key_at{};
    std::map<std::string, int> lines{};  ///< line of each key so far
  };

  void refuse(YAML::Mark const& mark, char const* message) {
    mistakes_.push_back({place(mark), path(), message});
  }

  // yaml-cpp itself sets "?" for plain and "!" for quoted scalars.
  void check_tag(YAML::Mark const& mark, std::string const& tag) {
    if (tag.size() > 1) refuse(mark, "tags (!type) are not supported; remove the tag");
  }

  std::string path() const {
    std::string path;
    for (Open const& open : open_) {
      if (open.node.kind == Node::Kind::sequence)
        path += core::join('[', open.node.entries.size(), ']');
      else if (open.has_key)
        path += (path.empty() ? "" : ".") + open.key;
    }
    return path;
  }

  void close() {
    Node node = std::move(open_.back().node);
    open_.pop_back();
    attach(std::move(node));
  }

  void attach(Node node) {
    if (open_.empty()) {
      if (documents_ == 1) root_ = std::move(node);
      return;
    }
    Open& open = open_.back();
    if (open.node.kind == Node::Kind::mapping && !open.has_key) return start_entry(node);
    open.node.entries.push_back({std::move(open.key), open.key_at, std::move(node)});
    open.has_key = false;
  }

  void start_entry(Node const& key) {
    Open& open = open_.back();
    if (key.kind != Node::Kind::scalar) mistakes_.push_back({key.at, path(), "keys must be text"});
    open.has_key = true;
    open.key = key.text;
    open.key_at = key.at;
    auto const [first, fresh] = open.lines.emplace(key.text, key.at.line);
    if (!fresh)
      mistakes_.push_back(
          {key.at, path(), core::join("duplicate key, first on line ", first->second)});
  }

  std::vector<Mistake>& mistakes_;
  Node root_;
  std::vector<Open> open_;
  int documents_ = 0;
};

/// Rejects control characters and tabs: yaml-cpp silently ends the text at byte 4, and accepts tabs
/// as indentation only in some places.
void check_characters(std::string const& text, std::vector<Mistake>& mistakes) {
  Mark at{1, 1};
  for (char const c : text) {
    if (c == '\t') mistakes.push_back({at, "", "tab character; use spaces"});
    if ((c >= 0 && c < ' ' && c != '\n' && c != '\r' && c != '\t') || c == 127)
      mistakes.push_back({at, "", "control character; the file must be plain text"});
    if (!mistakes.empty()) return;
    at = c == '\n' ? Mark{at.line + 1, 1} : Mark{at.line, at.column + 1};
  }
}

}  // namespace

Node const* Node::find(std::string_view key) const {
  for (Entry const& entry : entries)
    if (entry.key == key) return &entry.value;
  return nullptr;
}

Node parse_yaml(std::string const& text, std::vector<Mistake>& mistakes) {
  check_characters(text, mistakes);
  if (!mistakes.empty()) return {};
  std::istringstream stream(text);
  Builder builder(mistakes);
  try {
    YAML::Parser parser(stream);
    // At most two calls: at an unmatched bracket, yaml-cpp reports a new document on every call.
    if (parser.HandleNextDocument(builder)) parser.HandleNextDocument(builder);
  } catch (YAML::DeepRecursion const& error) {
    mistakes.push_back({place(error.mark), "", "lists or mappings are nested too deeply"});
    return {};
  } catch (YAML::Exception const& error) {
    mistakes.push_back({place(error.mark), "", error.msg});
    return {};
  }
  return builder.take();
}

}  // namespace train
