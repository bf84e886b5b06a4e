#include "train/config/fields.h"

namespace train {
namespace {

/// Visitor that writes a struct as a mapping; see fields.h.
class Writer {
 public:
  explicit Writer(std::string indent) : indent_(std::move(indent)) {}

  template <class T>
  void field(char const* key, T const& value, Range const& range, char const*) {
    line(key, written(value, range));
  }
  template <class T>
  void field(char const* key, T const& value, char const*) {
    line(key, written(value));
  }
  void code_point(char const* key, uint32_t value, char const*) {
    line(key, written_code_point(value));
  }
  template <class Enum>
  void choice(char const* key, Enum value, char const*) {
    line(key, written_choice(value));
  }

  template <class Struct>
  void section(char const* key, Struct& value, char const* = nullptr) {
    text += indent_ + key + ":\n";
    Writer inner(indent_ + "  ");
    fields(inner, value);
    text += inner.text;
  }

  template <class Struct>
  void list(char const* key, std::vector<Struct>& values, char const*) {
    if (values.empty()) return line(key, "[]");
    text += indent_ + key + ":\n";
    for (Struct& value : values) {
      Writer inner(indent_ + "    ");
      fields(inner, value);
      text += indent_ + "  - " + inner.text.substr(indent_.size() + 4);
    }
  }

  std::string text;

 private:
  void line(std::string const& key, std::string const& value) {
    text += indent_ + key + ": " + value + '\n';
  }

  std::string indent_;
};

}  // namespace

std::string to_yaml(Experiment experiment) {
  Writer writer("");
  fields(writer, experiment);
  return writer.text;
}

}  // namespace train
