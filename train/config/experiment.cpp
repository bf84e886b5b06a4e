#include "train/config/experiment.h"
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include "core/cuda/open.h"
#include "train/config/fields.h"
#include "train/config/reader.h"

namespace train {
namespace {

/// A file longer than this is no experiment.
constexpr std::streamsize largest_file = 1 << 20;

/// The combinations that a document may not have, each at the key to change.
class Rules {
 public:
  explicit Rules(Document& document) : document_(document) {}

  /// Notes a mistake at the first key unless `holds`, or when one of the keys is wrong already.
  void check(bool holds, std::initializer_list<std::string> keys, std::string const& message) {
    if (holds) return;
    for (std::string const& key : keys)
      if (document_.failed(key)) return;
    document_.error(*keys.begin(), message);
  }

 private:
  Document& document_;
};

void check_run(Rules& rules, Experiment const& e) {
  rules.check(e.device != DeviceChoice::cuda || core::cuda::built(), {"device"},
              "this program was built without CUDA; use device: cpu or auto");
  rules.check(e.run.epochs > 0 || e.run.steps > 0, {"run.epochs", "run.steps"},
              "set run.epochs or run.steps; nothing says when the run ends");
}

void check_channels(Rules& rules, Experiment const& e, std::string const& key,
                    std::vector<double> const& values) {
  auto const count = static_cast<int64_t>(values.size());
  rules.check(count > 0, {key}, "needs a number");
  bool const known = e.data.kind != DataKind::safetensors;
  int64_t const channels = e.data.kind == DataKind::synthetic ? e.data.channels : 1;
  rules.check(!known || count <= 1 || count == channels, {key, "data.kind", "data.channels"},
              core::join("has ", count, " numbers, but the images have ", channels,
                         channels == 1 ? " channel" : " channels"));
}

void check_data(Rules& rules, Experiment const& e) {
  DataConfig const& data = e.data;
  bool const synthetic = data.kind == DataKind::synthetic;
  rules.check(data.global_batch_size > 0, {"data.global_batch_size"},
              "missing: the samples of a step");
  rules.check(!synthetic || data.classes.has_value(), {"data.classes", "data.kind"},
              "missing: random images need a number of classes");
  rules.check(!synthetic || data.samples > 0, {"data.samples", "data.kind"},
              "missing: random images need a number of samples");
  rules.check(data.kind != DataKind::safetensors || !data.path.empty(), {"data.path", "data.kind"},
              "missing: the safetensors file with the images");
  check_channels(rules, e, "data.mean", data.mean);
  check_channels(rules, e, "data.std", data.std);
}

/// The fonts of a section.
void check_fonts(Rules& rules, std::string const& section, std::vector<Face> const& train,
                 std::vector<Face> const& test) {
  std::set<std::pair<std::string, int>> training;
  std::set<std::string> names;
  for (size_t i = 0; i < train.size(); ++i) {
    auto const key = core::join(section, ".train[", i, "]");
    Face const& face = train[i];
    rules.check(!face.path.empty(), {key + ".path"}, "missing: the font");
    bool const fresh = training.emplace(face.path, face.index).second;
    rules.check(fresh || face.path.empty(), {key}, "the same font as one before");
  }
  for (size_t i = 0; i < test.size(); ++i) {
    auto const key = core::join(section, ".test[", i, "]");
    Face const& face = test[i];
    rules.check(!face.path.empty(), {key + ".path"}, "missing: the font");
    rules.check(!training.contains({face.path, face.index}), {key},
                "this font is trained on; a test needs fonts never seen");
    rules.check(face.path.empty() || names.insert(face.name).second, {key},
                "another test font has the name '" + face.name + "'");
  }
}

void check_glyphs(Rules& rules, Experiment const& e) {
  GlyphsConfig const& glyphs = e.data.glyphs;
  rules.check(glyphs.first <= glyphs.last, {"data.glyphs.last", "data.glyphs.first"},
              "must not be before data.glyphs.first");
  check_fonts(rules, "data.glyphs", glyphs.train, glyphs.test);
  if (e.data.kind != DataKind::glyphs) return;
  rules.check(!glyphs.train.empty(), {"data.glyphs.train", "data.kind", "data.glyphs"},
              "missing: the fonts to train on");
  auto const fonts = static_cast<int>(glyphs.train.size());
  rules.check(fonts == 0 || glyphs.min_fonts <= fonts, {"data.glyphs.min_fonts"},
              core::join("is ", glyphs.min_fonts, ", but there are ", fonts, " training fonts"));
}

void check_words(Rules& rules, Experiment const& e) {
  WordsConfig const& words = e.data.words;
  check_fonts(rules, "data.words", words.train, words.test);
  if (e.data.kind != DataKind::words) return;
  rules.check(!words.lists.empty(), {"data.words.lists", "data.kind", "data.words"},
              "missing: the word lists");
  rules.check(!words.train.empty(), {"data.words.train", "data.kind", "data.words"},
              "missing: the fonts to train on");
}

/// Keys that the trunk does not read must keep their defaults.
void check_model(Rules& rules, Experiment const& e) {
  ModelConfig const& m = e.model;
  ModelConfig const standard;
  auto const trunk = std::string(names<Trunk>[static_cast<size_t>(m.trunk)]);
  auto const unread = [&](bool reads, std::string const& key, bool changed) {
    rules.check(reads || !changed, {"model." + key, "model.trunk"},
                "the trunk " + trunk + " does not have it; leave the key out");
  };
  bool const small = m.trunk == Trunk::small, sized = small || m.trunk == Trunk::conv;
  bool const resnet =
      m.trunk == Trunk::resnet18 || m.trunk == Trunk::resnet34 || m.trunk == Trunk::resnet50;
  unread(sized, "width", m.width != standard.width);
  unread(sized, "kernel", m.kernel != standard.kernel);
  unread(sized, "stride", m.stride != standard.stride);
  unread(small, "depth", m.depth != standard.depth);
  unread(m.trunk != Trunk::conv && !resnet, "dropout", m.dropout != standard.dropout);
}

/// Keys that the head does not read must keep their defaults.
void check_head_keys(Rules& rules, HeadConfig const& h) {
  HeadConfig const standard;
  auto const kind = std::string(names<HeadKind>[static_cast<size_t>(h.kind)]);
  auto const unread = [&](bool reads, std::string const& key, bool changed) {
    rules.check(reads || !changed, {"head." + key, "head.kind"},
                kind + " does not have it; leave the key out");
  };
  bool const by_class = h.kind != HeadKind::row_parallel;
  bool const cosine = by_class && h.kind != HeadKind::softmax;
  bool const combined = h.kind == HeadKind::combined;
  bool const one_margin = cosine && !combined && h.kind != HeadKind::normface;
  unread(!cosine, "bias", h.bias);
  unread(cosine, "scale", h.scale != standard.scale);
  unread(one_margin, "margin", h.margin.has_value());
  unread(combined, "m1", h.m1 != 1);
  unread(combined, "m2", h.m2 != 0);
  unread(combined, "m3", h.m3 != 0);
  unread(one_margin || combined, "margin_gradient", h.margin_gradient != standard.margin_gradient);
  unread(h.kind == HeadKind::adaface, "adaface_h", h.adaface_h != standard.adaface_h);
  unread(cosine && h.kind != HeadKind::curricularface, "interclass_filter",
         h.interclass_filter != standard.interclass_filter);
  unread(by_class, "label_smoothing", h.label_smoothing != 0);
  unread(by_class, "z_loss", h.z_loss != 0);
  unread(by_class, "class_weights", !h.class_weights.empty());
  unread(by_class, "sampling", h.sampling != standard.sampling);
  unread(by_class, "storage", h.storage != standard.storage);
  unread(by_class, "chunk", h.chunk.has_value());
  unread(by_class, "logits", h.logits != standard.logits);
  unread(by_class, "passes", h.passes != standard.passes);
  unread(by_class, "shards", h.shards.has_value());
  unread(by_class, "init_std", h.init_std != standard.init_std);
}

/// Combinations of head and optimizer without a meaning.
void check_head(Rules& rules, Experiment const& e) {
  HeadConfig const& h = e.head;
  check_head_keys(rules, h);
  bool const smooth = h.label_smoothing > 0, samples = h.sampling.rate < 1;
  rules.check(h.kind != HeadKind::sphereface || h.margin.value_or(1) >= 1,
              {"head.margin", "head.kind"}, "sphereface multiplies the angle: at least 1");
  rules.check(!smooth || h.kind != HeadKind::curricularface, {"head.label_smoothing", "head.kind"},
              "curricularface bends the logits of hard classes, at which smoothing would pull too");
  rules.check(!smooth || h.interclass_filter == 1,
              {"head.label_smoothing", "head.interclass_filter"},
              "needs the logits of all classes, and head.interclass_filter leaves some out");
  rules.check(!smooth || h.passes == layers::Passes::two, {"head.label_smoothing", "head.passes"},
              "its gradient is known only after all classes; use head.passes: two");
  rules.check(!smooth || !samples, {"head.label_smoothing", "head.sampling.rate"},
              "needs the logits of all classes, and head.sampling draws some");
  rules.check(h.sampling.unsampled_rows == layers::UnsampledRows::lazy || samples,
              {"head.sampling.unsampled_rows"},
              "says what becomes of classes that are not drawn; set head.sampling.rate");
  rules.check(!h.sampling.log_q || samples, {"head.sampling.log_q"},
              "corrects for the draw of classes; set head.sampling.rate");
  rules.check(!samples || e.optimizer.accumulation_steps == 1,
              {"head.sampling.rate", "optimizer.accumulation_steps"},
              "parts of a batch have different classes of their own; use one part");
  rules.check(!samples || !h.shards, {"head.sampling.rate", "head.shards"},
              "replicas see different classes in their batches; leave head.shards: auto");
  bool const row_parallel = h.kind == HeadKind::row_parallel;
  rules.check(!row_parallel || e.optimizer.kind == OptimizerKind::sgd,
              {"optimizer.kind", "head.kind"}, "row_parallel takes sgd alone");
  rules.check(!row_parallel || e.optimizer.accumulation_steps == 1,
              {"optimizer.accumulation_steps", "head.kind"},
              "row_parallel takes a batch as a whole");
}

/// Keys that the rule does not read must keep their defaults.
void check_optimizer(Rules& rules, OptimizerConfig const& o) {
  OptimizerConfig const standard;
  auto const kind = std::string(names<OptimizerKind>[static_cast<size_t>(o.kind)]);
  auto const unread = [&](bool reads, std::string const& key, bool changed) {
    rules.check(reads || !changed, {"optimizer." + key, "optimizer.kind"},
                kind + " does not have it; leave the key out");
  };
  bool const adam = o.kind == OptimizerKind::adam || o.kind == OptimizerKind::adamw;
  unread(!adam, "momentum", o.momentum != standard.momentum);
  unread(adam, "betas", o.betas != standard.betas);
  unread(adam, "eps", o.eps != standard.eps);
  unread(o.kind == OptimizerKind::lars, "trust_coefficient",
         o.trust_coefficient != standard.trust_coefficient);
  unread(!adam, "nesterov", o.nesterov);
  rules.check(adam || !o.nesterov || o.momentum > 0, {"optimizer.nesterov", "optimizer.momentum"},
              "needs a momentum above 0");
}

void check_training(Rules& rules, Experiment const& e) {
  ScheduleConfig const& schedule = e.schedule;
  rules.check(schedule.final_lr <= e.optimizer.lr, {"schedule.final_lr", "optimizer.lr"},
              core::join("must not be above optimizer.lr, ", e.optimizer.lr));
  rules.check(e.run.steps == 0 || schedule.warmup_steps < e.run.steps,
              {"schedule.warmup_steps", "run.steps"}, "the run ends before the warm-up does");
  rules.check(schedule.kind != Schedule::step || !schedule.milestones.empty(),
              {"schedule.milestones", "schedule.kind"},
              "missing: the steps where the rate changes");
  rules.check(std::ranges::adjacent_find(schedule.milestones, std::ranges::greater_equal{}) ==
                  schedule.milestones.end(),
              {"schedule.milestones"}, "must ascend");
}

void check_grow(Rules& rules, Experiment const& e) {
  rules.check(!e.init.grow_classes || !e.init.from.empty(), {"init.grow_classes", "init.from"},
              "needs init.from: the weights whose classes are added to");
  rules.check(!e.init.grow_classes || e.init.head == InitHead::automatic,
              {"init.grow_classes", "init.head"},
              "adds to the classes of the file, which init.head: skip leaves out");
}

/// Defaults that follow from other keys.
void fill_defaults(Experiment& e, std::string const& name) {
  if (e.run.out.empty()) e.run.out = "runs/" + std::filesystem::path(name).stem().string();
  if (e.data.kind == DataKind::idx && e.data.path.empty())
    e.data.path = "/usr/share/datasets/fashion-mnist";
  for (auto* faces :
       {&e.data.glyphs.train, &e.data.glyphs.test, &e.data.words.train, &e.data.words.test})
    for (Face& face : *faces)
      if (face.name.empty()) face.name = std::filesystem::path(face.path).stem().string();
}

std::string read_text(std::string const& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(largest_file + 1, '\0');
  if (!file || std::filesystem::is_directory(path))
    throw MissingInput("cannot read the experiment file " + path);
  file.read(text.data(), largest_file + 1);
  text.resize(static_cast<size_t>(file.gcount()));
  if (file.gcount() > largest_file) throw ConfigError(path + ": longer than 1 MiB");
  return text;
}

}  // namespace

Experiment parse_experiment(std::string const& name, std::string const& text,
                            std::vector<std::string> const& settings) {
  Document document(name, text);
  for (auto const& setting : settings) document.set(setting);
  Experiment experiment;
  Reader reader(document, &document.root(), "");
  fields(reader, experiment);
  reader.done();
  fill_defaults(experiment, name);
  Rules rules(document);
  check_run(rules, experiment);
  check_data(rules, experiment);
  check_glyphs(rules, experiment);
  check_words(rules, experiment);
  check_model(rules, experiment);
  check_optimizer(rules, experiment.optimizer);
  check_head(rules, experiment);
  check_training(rules, experiment);
  check_grow(rules, experiment);
  document.finish();
  return experiment;
}

Experiment read_experiment(std::string const& path, std::vector<std::string> const& settings) {
  return parse_experiment(path, read_text(path), settings);
}

}  // namespace train
