#include "train/export.h"
#include <algorithm>
#include <ostream>
#include "core/cpu/device.h"
#include "train/checkpoint_files.h"
#include "train/checkpoint_folder.h"
#include "train/model.h"
#include "train/state_dict.h"

namespace train {
namespace fs = std::filesystem;
namespace {

struct Checkpoint {
  fs::path folder;
  Manifest manifest;
};

/// The newest checkpoint whose files are all whole, or that of `step`.
Checkpoint newest_good(fs::path const& parent, std::optional<int64_t> step, std::ostream& out) {
  auto all = complete_in(parent);
  std::ranges::reverse(all);
  std::string damaged;
  for (auto const& folder : all) {
    if (step && step_of(folder) != step) continue;
    try {
      auto const manifest = read_manifest(folder);
      for (auto const& [name, digest] : manifest.files) verify(manifest, folder / name);
      return {folder, manifest};
    } catch (ConfigError const&) {
      throw;
    } catch (RunError const& error) {
      out << "passed over a damaged checkpoint: " << error.what() << '\n';
      damaged += core::join('\n', error.what());
    }
  }
  if (!damaged.empty())
    throw BadData(core::join("no checkpoint in ", parent.string(), " is good:", damaged));
  if (step) throw MissingInput(core::join(parent.string(), " has no checkpoint of step ", *step));
  throw MissingInput(parent.string() + " has no complete checkpoint; train first");
}

/// The parts of one export.
class Export {
 public:
  Export(Experiment const& e, Checkpoint checkpoint);
  void write(fs::path const& to);

 private:
  std::vector<TensorDeclaration> declarations() const;
  void append(SafetensorsWriter& file, std::vector<float> const& values) const;
  void append(SafetensorsWriter& file, core::Parameter const& p) const;
  void append_weight(SafetensorsWriter& file) const;
  void append_bias(SafetensorsWriter& file) const;
  std::vector<float> rows(int64_t begin, int64_t end) const;
  int ranks() const { return static_cast<int>(checkpoint_.manifest.ranks); }
  SafetensorsReader head(int rank) const {
    return SafetensorsReader(checkpoint_.folder / head_file(rank, ranks()));
  }

  HeadKind kind_;
  Checkpoint checkpoint_;
  core::cpu::Cpu device_{1};
  std::unique_ptr<layers::Trunk> trunk_;
  int64_t classes_, features_;
  bool bias_;
};

Export::Export(Experiment const& e, Checkpoint checkpoint)
    : kind_(e.head.kind),
      checkpoint_(std::move(checkpoint)),
      trunk_(
          make_trunk({device_, core::Dtype::f32, e.seed, {}}, e.model, checkpoint_.manifest.image)),
      classes_(checkpoint_.manifest.classes),
      features_(trunk_->features()),
      bias_(head(0).contains("head.bias")) {
  std::vector<NamedTensor> tensors;
  for (auto const* p : layers::parameters(*trunk_)) tensors.push_back({p->name, p->value});
  SafetensorsReader const file(checkpoint_.folder / trunk_file);
  check_fit(file, tensors, Others::ignored);
  read_tensors(file, tensors);
}

std::vector<TensorDeclaration> Export::declarations() const {
  std::vector<TensorDeclaration> all;
  for (auto const* p : layers::parameters(*trunk_)) all.push_back(in_file(*p));
  auto const prefix = classifier_prefix(*trunk_);
  all.push_back({prefix + "weight", core::Dtype::f32, {classes_, features_}});
  if (bias_) all.push_back({prefix + "bias", core::Dtype::f32, {classes_}});
  return all;
}

void Export::write(fs::path const& to) {
  auto const partial = to.string() + ".partial";
  SafetensorsWriter file(partial, declarations(), {{"format", "pt"}});
  for (auto const* p : layers::parameters(*trunk_)) append(file, *p);
  append_weight(file);
  if (bias_) append_bias(file);
  file.finish();
  fs::rename(partial, to);
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

void Export::append_weight(SafetensorsWriter& file) const {
  int64_t const step = rows_at_once(features_);
  for (int64_t begin = 0; begin < classes_; begin += step) {
    int64_t const end = std::min(begin + step, classes_);
    append(file, channels_first(rows(begin, end), end - begin, trunk_->channels()));
  }
}

/// Rows [begin, end) of the whole weight, from the ranks' parts.
std::vector<float> Export::rows(int64_t begin, int64_t end) const {
  std::vector<float> whole(static_cast<size_t>((end - begin) * features_));
  for (int rank = 0; rank < ranks(); ++rank) {
    auto const part = part_of(kind_, classes_, features_, rank, ranks());
    int64_t const first = std::max(begin, part.row), last = std::min(end, part.row + part.rows);
    if (first >= last) continue;
    auto const values = read_floats(head(rank), "head.weight", (first - part.row) * part.columns,
                                    (last - first) * part.columns);
    for (int64_t row = first; row < last; ++row)
      std::copy_n(values.begin() + (row - first) * part.columns, part.columns,
                  whole.begin() + (row - begin) * features_ + part.column);
  }
  return whole;
}

/// The ranks' biases one after another, or the first's where each has all.
void Export::append_bias(SafetensorsWriter& file) const {
  int64_t done = 0;
  for (int rank = 0; done < classes_; ++rank) {
    auto const shard = head(rank);
    int64_t const count = shard.entry("head.bias").shape[0];
    append(file, read_floats(shard, "head.bias", 0, count));
    done += count;
  }
}

}  // namespace

void export_command(Experiment const& e, ExportOptions const& options, std::ostream& out) {
  auto const checkpoint = newest_good(fs::path(e.run.out) / "checkpoints", options.step, out);
  Export(e, checkpoint).write(options.to);
  out << "step " << checkpoint.manifest.at.step << ", " << checkpoint.manifest.classes
      << " classes: " << options.to.string() << std::endl;
}

}  // namespace train
