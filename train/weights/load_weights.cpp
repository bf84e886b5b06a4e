#include "train/weights/load_weights.h"
#include <algorithm>
#include "core/device.h"
#include "train/errors.h"
#include "train/formats/tensor_file.h"
#include "train/weights/state_dict.h"
#include "train/weights/state_dict_reader.h"

namespace train {
namespace {

using core::Dtype;
using core::Tensor;

constexpr size_t most_told = 8;  ///< maximum number of differences in a message

/// This rank's part of the classifier, with its names and sizes in the file.
struct Classifier {
  std::string weight_name, bias_name;  ///< names in the file
  Tensor weight, bias;                 ///< (rows, columns), and (rows) or empty
  Part part;
  int64_t classes = 0, features = 0;
  int64_t known = 0;     ///< number of classes in the file, the first of the model
  int64_t channels = 0;  ///< Trunk::channels
};

Classifier classifier_of(Experiment const& experiment, Model& model) {
  auto const prefix = classifier_prefix(*model.trunk);
  Classifier c{.weight_name = prefix + "weight",
               .bias_name = prefix + "bias",
               .classes = model.head->classes(),
               .features = model.trunk->features(),
               .channels = model.trunk->channels()};
  auto& shards = model.mesh->shards();
  c.part = part_of(experiment.head.kind, c.classes, c.features, shards.rank(), shards.size());
  for (auto const& [name, tensor] : model.head->state()) {
    if (name == "head.weight") c.weight = tensor;
    if (name == "head.bias") c.bias = tensor;
  }
  return c;
}

int64_t rows_of(TensorDeclaration const& tensor) {
  return tensor.shape.empty() ? 0 : tensor.shape[0];
}

/// Description of how a file's tensor differs from the expected one, or "".
std::string difference(StateDictReader const& file, TensorDeclaration const& expected) {
  auto const& [name, dtype, shape] = expected;
  if (!file.contains(name)) {
    bool const count = dtype == Dtype::i64;  // num_batches_tracked is missing in old files
    return count ? "" : core::join('\'', name, "' is missing");
  }
  auto const& has = file.tensors().at(name);
  bool const converts = dtype == has.dtype || (core::is_floating(dtype) && is_floating(has.dtype));
  if (converts && has.shape == shape) return "";
  return core::join('\'', name, "' is ", has.dtype, ' ', has.shape, ", expected ", dtype, ' ',
                    shape);
}

/// Checks that the file contains the expected tensors, and no others except those in `ignored`.
/// Throws: ConfigError with the differences, followed by `hint`.
void check_file(StateDictReader const& file, std::vector<TensorDeclaration> const& expected,
                std::vector<std::string> const& ignored, std::string const& hint) {
  std::vector<std::string> differences;
  auto unknown = file.tensors();
  for (auto const& name : ignored) unknown.erase(name);
  for (auto const& tensor : expected) {
    unknown.erase(tensor.name);
    if (auto text = difference(file, tensor); !text.empty()) differences.push_back(text);
  }
  for (auto const& [name, tensor] : unknown)
    differences.push_back(core::join('\'', name, "' is unexpected"));
  if (differences.empty()) return;
  std::string text = core::join("init.from: ", file.path(), " does not fit the model: ");
  for (size_t i = 0; i < std::min(differences.size(), most_told); ++i)
    text += (i > 0 ? "; " : "") + differences[i];
  if (differences.size() > most_told)
    text += core::join("; and ", differences.size() - most_told, " more");
  throw ConfigError(text + hint);
}

void load(StateDictReader const& file, core::Parameter& p) {
  if (!file.contains(p.name)) return;
  if (p.value.dtype() == Dtype::i64) {
    int64_t const count = file.number(p.name);
    p.value.device().upload(&count, p.value);
    return;
  }
  auto values = file.floats(p.name, 0, p.value.count());
  if (channels_of(p) > 0)
    values = channels_last(std::move(values), p.value.size(0), channels_of(p));
  p.value.device().upload(values.data(), p.value);
  layers::refresh(p);
}

/// Number of this rank's rows that the file contains: its classes are the model's first.
int64_t known_rows(Classifier const& c) {
  return std::clamp<int64_t>(c.known - c.part.row, 0, c.part.rows);
}

/// Loads this rank's part of the weight in blocks of rows_at_once rows.
void load_weight(StateDictReader const& file, Classifier const& c) {
  auto& device = c.weight.device();
  int64_t const step = rows_at_once(c.features), all = known_rows(c);
  for (int64_t begin = 0; begin < all; begin += step) {
    int64_t const end = std::min(begin + step, all);
    auto const values = channels_last(
        file.floats(c.weight_name, (c.part.row + begin) * c.features, (end - begin) * c.features),
        end - begin, c.channels);
    Tensor rows(device, {end - begin, c.features}, Dtype::f32);
    device.upload(values.data(), rows);
    if (c.weight.dtype() != rows.dtype()) {  // bf16 storage
      Tensor narrow(device, rows.shape(), c.weight.dtype());
      device.kernels().convert(rows, narrow);
      rows = narrow;
    }
    auto mine = c.weight.rows(begin, end);
    device.kernels().copy_columns(rows, c.part.column, c.part.columns, mine, 0);
  }
}

void load_bias(StateDictReader const& file, Classifier const& c) {
  auto bias = c.bias.rows(0, known_rows(c));
  auto const values = file.floats(c.bias_name, c.part.row, bias.count());
  bias.device().upload(values.data(), bias);
}

/// Advice for a classifier that does not match.
std::string hint(Experiment const& experiment, Classifier const& c, int64_t given) {
  if (experiment.init.grow_classes)
    return given > c.classes ? ". init.grow_classes can only add classes to those of the file" : "";
  std::string const skip = ". To ignore the file's classifier, set init.head: skip";
  return given < c.classes ? skip + "; to add classes to it, set init.grow_classes: true" : skip;
}

}  // namespace

std::string load_weights(Experiment const& experiment, Model& model) {
  StateDictReader const file(experiment.init.from);
  auto const parameters = layers::parameters(*model.trunk);
  auto c = classifier_of(experiment, model);
  bool const has_head = file.contains(c.weight_name), skip = experiment.init.head == InitHead::skip;
  bool const takes_head = (has_head || experiment.init.grow_classes) && !skip;
  int64_t const given = has_head ? rows_of(file.tensors().at(c.weight_name)) : 0;
  c.known = experiment.init.grow_classes && has_head ? std::min(given, c.classes) : c.classes;

  std::vector<TensorDeclaration> expected;
  for (auto const* p : parameters) expected.push_back(in_file(*p));
  if (takes_head) {
    expected.push_back({c.weight_name, Dtype::f32, {c.known, c.features}});
    if (c.bias) expected.push_back({c.bias_name, Dtype::f32, {c.known}});
  }
  std::vector<std::string> ignored;
  if (skip) ignored = {c.weight_name, c.bias_name};
  check_file(file, expected, ignored, has_head && !skip ? hint(experiment, c, given) : "");

  for (auto* p : parameters) load(file, *p);
  if (takes_head) {
    load_weight(file, c);
    if (c.bias) load_bias(file, c);
    model.head->refresh();
  }
  auto const added = c.classes - c.known;
  return core::join("weights from ", file.path(), ": the trunk",
                    !has_head ? "; it has no classifier"
                    : skip    ? ", not the classifier"
                              : " and the classifier",
                    added > 0 ? core::join(" of ", c.known, " classes; ", added, " are new") : "");
}

}  // namespace train
