#include "train/load_weights.h"
#include <algorithm>
#include "core/device.h"
#include "train/state_dict.h"

namespace train {
namespace {

using core::Dtype;
using core::Tensor;

constexpr size_t most_told = 8;  ///< differences that a message lists

/// This rank's part of the classifier, and what it is of.
struct Classifier {
  std::string weight_name, bias_name;  ///< in the file
  Tensor weight, bias;                 ///< (rows, columns), and (rows) or none
  Part part;
  int64_t classes = 0, features = 0;
  int64_t channels = 0;  ///< Trunk::channels
};

Classifier classifier_of(Experiment const& e, Model& model, comm::Communicator& ranks) {
  auto const prefix = classifier_prefix(*model.trunk);
  Classifier c{.weight_name = prefix + "weight",
               .bias_name = prefix + "bias",
               .classes = model.head->classes(),
               .features = model.trunk->features(),
               .channels = model.trunk->channels()};
  c.part = part_of(e.head.kind, c.classes, c.features, ranks.rank(), ranks.size());
  for (auto const& [name, tensor] : model.head->state()) {
    if (name == "head.weight") c.weight = tensor;
    if (name == "head.bias") c.bias = tensor;
  }
  return c;
}

/// What is wrong with a file's tensor, or "".
std::string difference(SafetensorsReader const& file, TensorDeclaration const& expected) {
  auto const& [name, dtype, shape] = expected;
  if (!file.contains(name)) {
    bool const count = dtype == Dtype::i64;  // files of old have none
    return count ? "" : core::join('\'', name, "' is missing");
  }
  auto const& entry = file.entry(name);
  bool const converts =
      dtype == entry.dtype || (core::is_floating(dtype) && is_floating(entry.dtype));
  if (converts && entry.shape == shape) return "";
  return core::join('\'', name, "' is ", entry.dtype, ' ', entry.shape, ", expected ", dtype, ' ',
                    shape);
}

/// Throws ConfigError unless the file has what is expected, and beside it only what is `ignored`.
void check_file(SafetensorsReader const& file, std::vector<TensorDeclaration> const& expected,
                std::vector<std::string> const& ignored, std::string const& hint) {
  std::vector<std::string> differences;
  auto unknown = file.entries();
  for (auto const& name : ignored) unknown.erase(name);
  for (auto const& tensor : expected) {
    unknown.erase(tensor.name);
    if (auto text = difference(file, tensor); !text.empty()) differences.push_back(text);
  }
  for (auto const& [name, entry] : unknown)
    differences.push_back(core::join('\'', name, "' is unknown"));
  if (differences.empty()) return;
  std::string text = core::join("init.from: ", file.path(), " does not fit the model: ");
  for (size_t i = 0; i < std::min(differences.size(), most_told); ++i)
    text += (i > 0 ? "; " : "") + differences[i];
  if (differences.size() > most_told)
    text += core::join("; and ", differences.size() - most_told, " more");
  throw ConfigError(text + hint);
}

void load(SafetensorsReader const& file, core::Parameter& p) {
  if (!file.contains(p.name)) return;
  if (p.value.dtype() == Dtype::i64) {
    int64_t count = 0;
    file.read(p.name, &count, sizeof count);
    p.value.device().upload(&count, p.value);
    return;
  }
  auto values = read_floats(file, p.name, 0, p.value.count());
  if (channels_of(p) > 0)
    values = channels_last(std::move(values), p.value.size(0), channels_of(p));
  p.value.device().upload(values.data(), p.value);
  layers::refresh(p);
}

/// A piece of rows at a time.
void load_weight(SafetensorsReader const& file, Classifier const& c) {
  auto& device = c.weight.device();
  int64_t const step = rows_at_once(c.features);
  for (int64_t begin = 0; begin < c.part.rows; begin += step) {
    int64_t const end = std::min(begin + step, c.part.rows);
    auto const values =
        channels_last(read_floats(file, c.weight_name, (c.part.row + begin) * c.features,
                                  (end - begin) * c.features),
                      end - begin, c.channels);
    Tensor rows(device, {end - begin, c.features}, c.weight.dtype());
    device.upload(values.data(), rows);
    auto mine = c.weight.rows(begin, end);
    device.kernels().copy_columns(rows, c.part.column, c.part.columns, mine, 0);
  }
}

void load_bias(SafetensorsReader const& file, Classifier const& c) {
  auto const values = read_floats(file, c.bias_name, c.part.row, c.part.rows);
  auto bias = c.bias;
  bias.device().upload(values.data(), bias);
}

}  // namespace

std::string load_weights(Experiment const& e, Model& model, comm::Communicator& ranks) {
  SafetensorsReader const file(e.init.from);
  auto const parameters = layers::parameters(*model.trunk);
  auto const c = classifier_of(e, model, ranks);
  bool const has_head = file.contains(c.weight_name), skip = e.init.head == InitHead::skip;

  std::vector<TensorDeclaration> expected;
  for (auto const* p : parameters) expected.push_back(in_file(*p));
  if (has_head && !skip) {
    expected.push_back({c.weight_name, Dtype::f32, {c.classes, c.features}});
    if (c.bias) expected.push_back({c.bias_name, Dtype::f32, {c.classes}});
  }
  std::vector<std::string> ignored;
  if (skip) ignored = {c.weight_name, c.bias_name};
  check_file(file, expected, ignored,
             has_head && !skip ? ". With init.head: skip the file's classifier is left out" : "");

  for (auto* p : parameters) load(file, *p);
  if (has_head && !skip) {
    load_weight(file, c);
    if (c.bias) load_bias(file, c);
  }
  return core::join("weights from ", file.path(), ": the trunk",
                    !has_head ? "; it has no classifier"
                    : skip    ? ", not the classifier"
                              : " and the classifier");
}

}  // namespace train
