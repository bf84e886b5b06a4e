#include <algorithm>
#include <array>
#include "core/check.h"
#include "train/config/fields.h"

namespace train {
namespace {

/// Columns: key, values, default, meaning.
using Row = std::array<std::string, 4>;

std::string kind(bool) { return "true, false"; }
std::string kind(std::string const&) { return "text"; }
std::string kind(std::vector<std::string> const&) { return "list of texts"; }
std::string kind(std::floating_point auto) { return "number"; }
std::string kind(std::integral auto) { return "whole number"; }
template <class T>
std::string kind(T value, Range const& range) {
  return kind(value) + range.text();
}
template <class T>
std::string kind(std::optional<T> const&, Range const& range) {
  return kind(T{}, range);
}
template <class T>
std::string kind(std::vector<T> const&, Range const& range) {
  return kind(T{}, range) + ", or a list";
}
template <class T, size_t count>
std::string kind(std::array<T, count> const&, Range const& range) {
  return core::join("list of ", count, " numbers", range.text());
}

/// The default, or "required" for a key whose initial value is not valid.
template <class T>
std::string fallback(T const& value, Range const& range) {
  if constexpr (std::is_arithmetic_v<T>)
    if (!range.holds(static_cast<double>(value))) return "required";
  return written(value, range);
}

/// Returns a Markdown table with padded columns, readable in a terminal too.
std::string table(std::vector<Row> const& rows) {
  std::array<size_t, 4> width{};
  for (Row const& row : rows)
    for (size_t i = 0; i < row.size(); ++i) width[i] = std::max(width[i], row[i].size());
  auto const line = [&](Row const& row, char pad) {
    std::string text;
    for (size_t i = 0; i < row.size(); ++i)
      text += (i ? " | " : "| ") + row[i] + std::string(width[i] - row[i].size(), pad);
    return text + " |\n";
  };
  std::string text = line(rows[0], ' ') + line({}, '-');
  for (size_t i = 1; i < rows.size(); ++i) text += line(rows[i], ' ');
  return text;
}

/// Visitor that describes a struct and its nested structs; see fields.h.
class Reference {
 public:
  explicit Reference(std::string path) : path_(std::move(path)) {}

  template <class T>
  void field(char const* key, T const& value, Range const& range, char const* meaning) {
    rows_.push_back({key, kind(value, range), fallback(value, range), meaning});
  }
  template <class T>
  void field(char const* key, T const& value, char const* meaning) {
    rows_.push_back({key, kind(value), written(value), meaning});
  }
  void code_point(char const* key, uint32_t value, char const* meaning) {
    rows_.push_back({key, "code point", written_code_point(value), meaning});
  }
  template <class Enum>
  void choice(char const* key, Enum value, char const* meaning) {
    std::string values;
    for (auto const name : names<Enum>) values += (values.empty() ? "" : ", ") + std::string(name);
    rows_.push_back({key, values, written_choice(value), meaning});
  }
  template <class Struct>
  void list(char const* key, std::vector<Struct>&, char const* meaning) {
    rows_.push_back({key, "list of mappings", "[]", meaning});
    Struct element;
    describe(std::string(key) + "[]", element);
  }
  template <class Struct>
  void section(char const* key, Struct& value, char const* = nullptr) {
    describe(key, value);
  }

  std::string text() const {
    return "## " + (path_.empty() ? "Top level" : path_) + "\n\n" + table(rows_) + inner_;
  }

 private:
  template <class Struct>
  void describe(std::string const& key, Struct& value) {
    Reference inner(path_.empty() ? key : path_ + "." + key);
    fields(inner, value);
    inner_ += '\n' + inner.text();
  }

  std::string path_;
  std::vector<Row> rows_ = {Row{"key", "values", "default", "meaning"}};
  std::string inner_;  ///< text of the nested sections
};

}  // namespace

std::string configuration_reference() {
  Experiment experiment;
  Reference reference("");
  fields(reference, experiment);
  return R"(# Configuration

Every key of an experiment file; `colonnade config` prints this page. Arguments KEY=VALUE replace
keys of the file: `colonnade train FILE optimizer.lr=0.4 data.augment=none`. A value is the text as
typed, with no need for quotes; a value that begins with `[` or `{` is a list or mapping.

Unknown keys, values of the wrong type or out of range, and keys that do not go together are errors.
All of them are listed with line and column before anything starts. Files are plain YAML without
tabs, tags, anchors and aliases. Whole numbers may be written `1_000_000` or `1e6`; `010`, `0x10`,
`.nan` and `.inf` are rejected.

)" + reference.text();
}

}  // namespace train
