#include "train/weights/export.h"
#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>
#include "core/cpu/device.h"
#include "train/checkpoint/files.h"
#include "train/checkpoint/newest.h"
#include "train/errors.h"
#include "train/formats/tensor_file.h"
#include "train/model/model.h"
#include "train/weights/state_dict.h"
#include "train/weights/state_dict_reader.h"

namespace train {
namespace fs = std::filesystem;
namespace {

/// One file of an export: contains the trunk, classes [begin, end), or both.
struct Piece {
  fs::path path;
  bool trunk = false;
  int64_t begin = 0, end = 0;
  std::string suffix;  ///< name suffix of the classifier's tensors

  fs::path partial() const { return path.string() + ".partial"; }
};

fs::path index_of(fs::path const& to) { return to.string() + ".index.json"; }

/// Path of a head shard: NAME-00001-of-00004.safetensors.
fs::path shard_of(fs::path const& to, int64_t number, int64_t shards) {
  auto const five = [](int64_t n) { return part_suffix(n).substr(1); };
  return to.parent_path() / core::join(to.stem().string(), '-', five(number), "-of-", five(shards),
                                       to.extension().string());
}

std::vector<Piece> pieces_of(ExportOptions const& options, int64_t classes) {
  auto const& [to, step, shards] = options;
  if (shards == 0) return {{to, true, 0, classes, ""}};
  if (shards > classes)
    throw ConfigError(core::join("--head-shards: ", shards, ", but there are ", classes,
                                 " classes; use at most one shard per class"));
  std::vector<Piece> all{{to, true, 0, 0, ""}};
  for (int64_t const count : comm::split_evenly(classes, static_cast<int>(shards))) {
    int64_t const number = std::ssize(all), begin = all.back().end;
    all.push_back({shard_of(to, number, shards), false, begin, begin + count, part_suffix(number)});
  }
  return all;
}

/// Writes a temporary file and renames it to `path` when it is complete.
void write_text(fs::path const& path, std::string const& text) {
  auto const partial = path.string() + ".partial";
  auto file = File::create(partial);
  file.write(text.data(), text.size());
  file.sync();
  file.close();
  fs::rename(partial, path);
}

/// Writes the files of one export.
class Export {
 public:
  Export(Experiment const& experiment, CheckpointFolder checkpoint);
  void write(ExportOptions const& options) const;

 private:
  std::vector<TensorDeclaration> declarations(Piece const& piece) const;
  void write(Piece const& piece) const;
  std::string index(std::vector<Piece> const& pieces) const;
  template <class F>
  void each_part(int64_t begin, int64_t end, F const& f) const;
  void append(SafetensorsWriter& file, std::vector<float> const& values) const;
  void append(SafetensorsWriter& file, core::Parameter const& p) const;
  void append_weight(SafetensorsWriter& file, Piece const& piece) const;
  std::vector<float> rows(int64_t begin, int64_t end) const;
  std::vector<float> biases(int64_t begin, int64_t end) const;
  int ranks() const { return static_cast<int>(checkpoint_.manifest.ranks); }
  SafetensorsReader head(int rank) const {
    return SafetensorsReader(checkpoint_.path / head_file(rank, ranks()));
  }

  HeadKind kind_;
  int shards_;  ///< head.shards: the first `shards_` ranks hold all classes; 0: all ranks do
  CheckpointFolder checkpoint_;
  core::cpu::Cpu device_{1};
  std::unique_ptr<layers::Trunk> trunk_;
  int64_t classes_, features_;
  bool bias_;
};

Export::Export(Experiment const& experiment, CheckpointFolder checkpoint)
    : kind_(experiment.head.kind),
      shards_(experiment.head.shards.value_or(0)),
      checkpoint_(std::move(checkpoint)),
      trunk_(make_trunk({device_, core::Dtype::f32, experiment.seed, {}}, experiment.model,
                        checkpoint_.manifest.image)),
      classes_(checkpoint_.manifest.classes),
      features_(trunk_->features()),
      bias_(head(0).contains("head.bias")) {
  std::vector<NamedTensor> tensors;
  for (auto const* p : layers::parameters(*trunk_)) tensors.push_back({p->name, p->value});
  SafetensorsReader const file(checkpoint_.path / trunk_file);
  check_fit(file, tensors, Others::ignored);
  read_tensors(file, tensors);
}

std::vector<TensorDeclaration> Export::declarations(Piece const& piece) const {
  std::vector<TensorDeclaration> all;
  if (piece.trunk)
    for (auto const* p : layers::parameters(*trunk_)) all.push_back(in_file(*p));
  int64_t const count = piece.end - piece.begin;
  if (count == 0) return all;
  auto const prefix = classifier_prefix(*trunk_);
  all.push_back({prefix + "weight" + piece.suffix, core::Dtype::f32, {count, features_}});
  if (bias_) all.push_back({prefix + "bias" + piece.suffix, core::Dtype::f32, {count}});
  return all;
}

/// Renames the files only when all are complete, so that an existing index lists complete files.
void Export::write(ExportOptions const& options) const {
  auto const pieces = pieces_of(options, classes_);
  for (auto const& piece : pieces) write(piece);
  fs::remove(index_of(options.to));
  for (auto const& piece : pieces) fs::rename(piece.partial(), piece.path);
  if (options.head_shards > 0) write_text(index_of(options.to), index(pieces));
}

void Export::write(Piece const& piece) const {
  SafetensorsWriter file(piece.partial(), declarations(piece), {{"format", "pt"}});
  if (piece.trunk)
    for (auto const* p : layers::parameters(*trunk_)) append(file, *p);
  if (piece.begin < piece.end) {
    append_weight(file, piece);
    if (bias_) append(file, biases(piece.begin, piece.end));
  }
  file.finish();
}

/// Index in Hugging Face's format: the file of every tensor, and the total size in bytes.
/// https://huggingface.co/docs/safetensors
std::string Export::index(std::vector<Piece> const& pieces) const {
  uint64_t bytes = 0;
  nlohmann::json weight_map = nlohmann::json::object();
  for (auto const& piece : pieces) {
    for (auto const& [name, dtype, shape] : declarations(piece)) {
      bytes += static_cast<uint64_t>(core::count(shape)) * core::size_of(dtype);
      weight_map[name] = piece.path.filename().string();
    }
  }
  nlohmann::json const all{{"metadata", {{"total_size", bytes}}}, {"weight_map", weight_map}};
  return all.dump(2) + '\n';
}

void Export::append(SafetensorsWriter& file, std::vector<float> const& values) const {
  file.append(values.data(), values.size() * sizeof(float));
}

void Export::append(SafetensorsWriter& file, core::Parameter const& p) const {
  if (p.value.dtype() == core::Dtype::i64) {
    int64_t const count = *p.value.data<int64_t>() + checkpoint_.manifest.at.step;
    file.append(&count, sizeof count);
    return;
  }
  auto const* const begin = p.value.data<float>();
  append(file, channels_first({begin, begin + p.value.count()}, p.value.size(0), channels_of(p)));
}

void Export::append_weight(SafetensorsWriter& file, Piece const& piece) const {
  int64_t const step = rows_at_once(features_);
  for (int64_t begin = piece.begin; begin < piece.end; begin += step) {
    int64_t const end = std::min(begin + step, piece.end);
    append(file, channels_first(rows(begin, end), end - begin, trunk_->channels()));
  }
}

/// Calls f(head file, part, first, last) for every rank that holds classes of [begin, end);
/// [first, last) are these classes.
template <class F>
void Export::each_part(int64_t begin, int64_t end, F const& f) const {
  int const shards = shards_ > 0 ? shards_ : ranks();
  for (int rank = 0; rank < shards; ++rank) {
    auto const part = part_of(kind_, classes_, features_, rank, shards);
    int64_t const first = std::max(begin, part.row), last = std::min(end, part.row + part.rows);
    if (first < last) f(head(rank), part, first, last);
  }
}

/// Rows [begin, end) of the whole weight, merged from the ranks' parts.
std::vector<float> Export::rows(int64_t begin, int64_t end) const {
  std::vector<float> whole(static_cast<size_t>((end - begin) * features_));
  each_part(begin, end, [&](auto const& file, Part const& part, int64_t first, int64_t last) {
    auto const values = read_floats(file, "head.weight", (first - part.row) * part.columns,
                                    (last - first) * part.columns);
    for (int64_t row = first; row < last; ++row)
      std::copy_n(values.begin() + (row - first) * part.columns, part.columns,
                  whole.begin() + (row - begin) * features_ + part.column);
  });
  return whole;
}

/// Biases [begin, end). If the head is split by feature, every rank has all biases.
std::vector<float> Export::biases(int64_t begin, int64_t end) const {
  std::vector<float> whole(static_cast<size_t>(end - begin));
  each_part(begin, end, [&](auto const& file, Part const& part, int64_t first, int64_t last) {
    auto const values = read_floats(file, "head.bias", first - part.row, last - first);
    std::ranges::copy(values, whole.begin() + (first - begin));
  });
  return whole;
}

}  // namespace

void export_weights(Experiment const& experiment, ExportOptions const& options, std::ostream& out) {
  auto const warn = [&](std::string const& text) { out << text << '\n'; };
  auto const checkpoint =
      newest_good(fs::path(experiment.run.out) / "checkpoints", options.step, Verify::files, warn);
  Export(experiment, checkpoint).write(options);
  out << "step " << checkpoint.manifest.at.step << ", " << checkpoint.manifest.classes
      << " classes: " << (options.head_shards > 0 ? index_of(options.to) : options.to).string()
      << std::endl;
}

}  // namespace train
