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

void check_run(Rules& rules, Experiment const& experiment) {
  rules.check(experiment.device != DeviceChoice::cuda || core::cuda::built(), {"device"},
              "this program was built without CUDA; use device: cpu or auto");
  rules.check(experiment.run.epochs > 0 || experiment.run.steps > 0, {"run.epochs", "run.steps"},
              "set run.epochs or run.steps; nothing says when the run ends");
}

void check_channels(Rules& rules, Experiment const& experiment, std::string const& key,
                    std::vector<double> const& values) {
  auto const count = static_cast<int64_t>(values.size());
  rules.check(count > 0, {key}, "needs a number");
  bool const known = experiment.data.kind != DataKind::safetensors;
  int64_t const channels =
      experiment.data.kind == DataKind::synthetic ? experiment.data.channels : 1;
  rules.check(!known || count <= 1 || count == channels, {key, "data.kind", "data.channels"},
              core::join("has ", count, " numbers, but the images have ", channels,
                         channels == 1 ? " channel" : " channels"));
}

void check_data(Rules& rules, Experiment const& experiment) {
  DataConfig const& data = experiment.data;
  bool const synthetic = data.kind == DataKind::synthetic;
  rules.check(data.global_batch_size > 0, {"data.global_batch_size"},
              "missing: the samples of a step");
  rules.check(!synthetic || data.classes.has_value(), {"data.classes", "data.kind"},
              "missing: random images need a number of classes");
  rules.check(!synthetic || data.samples > 0, {"data.samples", "data.kind"},
              "missing: random images need a number of samples");
  rules.check(data.kind != DataKind::safetensors || !data.path.empty(), {"data.path", "data.kind"},
              "missing: the safetensors file with the images");
  check_channels(rules, experiment, "data.mean", data.mean);
  check_channels(rules, experiment, "data.std", data.std);
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

void check_glyphs(Rules& rules, Experiment const& experiment) {
  GlyphsConfig const& glyphs = experiment.data.glyphs;
  rules.check(glyphs.first <= glyphs.last, {"data.glyphs.last", "data.glyphs.first"},
              "must not be before data.glyphs.first");
  check_fonts(rules, "data.glyphs", glyphs.train, glyphs.test);
  if (experiment.data.kind != DataKind::glyphs) return;
  rules.check(!glyphs.train.empty(), {"data.glyphs.train", "data.kind", "data.glyphs"},
              "missing: the fonts to train on");
  auto const fonts = static_cast<int>(glyphs.train.size());
  rules.check(fonts == 0 || glyphs.min_fonts <= fonts, {"data.glyphs.min_fonts"},
              core::join("is ", glyphs.min_fonts, ", but there are ", fonts, " training fonts"));
}

void check_words(Rules& rules, Experiment const& experiment) {
  WordsConfig const& words = experiment.data.words;
  check_fonts(rules, "data.words", words.train, words.test);
  if (experiment.data.kind != DataKind::words) return;
  rules.check(!words.lists.empty(), {"data.words.lists", "data.kind", "data.words"},
              "missing: the word lists");
  rules.check(!words.train.empty(), {"data.words.train", "data.kind", "data.words"},
              "missing: the fonts to train on");
}

/// Keys that the trunk does not read must keep their defaults.
void check_model(Rules& rules, Experiment const& experiment) {
  ModelConfig const& model = experiment.model;
  ModelConfig const standard;
  auto const trunk = std::string(names<Trunk>[static_cast<size_t>(model.trunk)]);
  auto const unread = [&](bool reads, std::string const& key, bool changed) {
    rules.check(reads || !changed, {"model." + key, "model.trunk"},
                "the trunk " + trunk + " does not have it; leave the key out");
  };
  bool const small = model.trunk == Trunk::small, sized = small || model.trunk == Trunk::conv;
  bool const resnet = model.trunk == Trunk::resnet18 || model.trunk == Trunk::resnet34 ||
                      model.trunk == Trunk::resnet50;
  unread(sized, "width", model.width != standard.width);
  unread(sized, "kernel", model.kernel != standard.kernel);
  unread(sized, "stride", model.stride != standard.stride);
  unread(small, "depth", model.depth != standard.depth);
  unread(model.trunk != Trunk::conv && !resnet, "dropout", model.dropout != standard.dropout);
}

/// Keys that the head does not read must keep their defaults.
void check_head_keys(Rules& rules, HeadConfig const& head) {
  HeadConfig const standard;
  auto const kind = std::string(names<HeadKind>[static_cast<size_t>(head.kind)]);
  auto const unread = [&](bool reads, std::string const& key, bool changed) {
    rules.check(reads || !changed, {"head." + key, "head.kind"},
                kind + " does not have it; leave the key out");
  };
  bool const by_class = head.kind != HeadKind::row_parallel;
  bool const cosine = by_class && head.kind != HeadKind::softmax;
  bool const combined = head.kind == HeadKind::combined;
  bool const one_margin = cosine && !combined && head.kind != HeadKind::normface;
  unread(!cosine, "bias", head.bias);
  unread(cosine, "scale", head.scale != standard.scale);
  unread(one_margin, "margin", head.margin.has_value());
  unread(combined, "m1", head.m1 != 1);
  unread(combined, "m2", head.m2 != 0);
  unread(combined, "m3", head.m3 != 0);
  unread(one_margin || combined, "margin_gradient",
         head.margin_gradient != standard.margin_gradient);
  unread(head.kind == HeadKind::adaface, "adaface_h", head.adaface_h != standard.adaface_h);
  unread(cosine && head.kind != HeadKind::curricularface, "interclass_filter",
         head.interclass_filter != standard.interclass_filter);
  unread(by_class, "label_smoothing", head.label_smoothing != 0);
  unread(by_class, "z_loss", head.z_loss != 0);
  unread(by_class, "class_weights", !head.class_weights.empty());
  unread(by_class, "sampling", head.sampling != standard.sampling);
  unread(by_class, "storage", head.storage != standard.storage);
  unread(by_class, "chunk", head.chunk.has_value());
  unread(by_class, "logits", head.logits != standard.logits);
  unread(by_class, "passes", head.passes != standard.passes);
  unread(by_class, "shards", head.shards.has_value());
  unread(by_class, "init_std", head.init_std != standard.init_std);
}

/// Combinations of head and optimizer without a meaning.
void check_head(Rules& rules, Experiment const& experiment) {
  HeadConfig const& head = experiment.head;
  check_head_keys(rules, head);
  bool const smooth = head.label_smoothing > 0, samples = head.sampling.rate < 1;
  rules.check(head.kind != HeadKind::sphereface || head.margin.value_or(1) >= 1,
              {"head.margin", "head.kind"}, "sphereface multiplies the angle: at least 1");
  rules.check(!smooth || head.kind != HeadKind::curricularface,
              {"head.label_smoothing", "head.kind"},
              "curricularface bends the logits of hard classes, at which smoothing would pull too");
  rules.check(!smooth || head.interclass_filter == 1,
              {"head.label_smoothing", "head.interclass_filter"},
              "needs the logits of all classes, and head.interclass_filter leaves some out");
  rules.check(!smooth || head.passes == layers::Passes::two,
              {"head.label_smoothing", "head.passes"},
              "its gradient is known only after all classes; use head.passes: two");
  rules.check(!smooth || !samples, {"head.label_smoothing", "head.sampling.rate"},
              "needs the logits of all classes, and head.sampling draws some");
  rules.check(head.sampling.unsampled_rows == layers::UnsampledRows::lazy || samples,
              {"head.sampling.unsampled_rows"},
              "says what becomes of classes that are not drawn; set head.sampling.rate");
  rules.check(!head.sampling.log_q || samples, {"head.sampling.log_q"},
              "corrects for the draw of classes; set head.sampling.rate");
  rules.check(!samples || experiment.optimizer.accumulation_steps == 1,
              {"head.sampling.rate", "optimizer.accumulation_steps"},
              "parts of a batch have different classes of their own; use one part");
  rules.check(!samples || !head.shards, {"head.sampling.rate", "head.shards"},
              "replicas see different classes in their batches; leave head.shards: auto");
  bool const row_parallel = head.kind == HeadKind::row_parallel;
  rules.check(!row_parallel || experiment.optimizer.kind == OptimizerKind::sgd,
              {"optimizer.kind", "head.kind"}, "row_parallel takes sgd alone");
  rules.check(!row_parallel || experiment.optimizer.accumulation_steps == 1,
              {"optimizer.accumulation_steps", "head.kind"},
              "row_parallel takes a batch as a whole");
}

/// Keys that the rule does not read must keep their defaults.
void check_optimizer(Rules& rules, OptimizerConfig const& optimizer) {
  OptimizerConfig const standard;
  auto const kind = std::string(names<OptimizerKind>[static_cast<size_t>(optimizer.kind)]);
  auto const unread = [&](bool reads, std::string const& key, bool changed) {
    rules.check(reads || !changed, {"optimizer." + key, "optimizer.kind"},
                kind + " does not have it; leave the key out");
  };
  bool const adam = optimizer.kind == OptimizerKind::adam || optimizer.kind == OptimizerKind::adamw;
  unread(!adam, "momentum", optimizer.momentum != standard.momentum);
  unread(adam, "betas", optimizer.betas != standard.betas);
  unread(adam, "eps", optimizer.eps != standard.eps);
  unread(optimizer.kind == OptimizerKind::lars, "trust_coefficient",
         optimizer.trust_coefficient != standard.trust_coefficient);
  unread(!adam, "nesterov", optimizer.nesterov);
  rules.check(adam || !optimizer.nesterov || optimizer.momentum > 0,
              {"optimizer.nesterov", "optimizer.momentum"}, "needs a momentum above 0");
}

void check_training(Rules& rules, Experiment const& experiment) {
  ScheduleConfig const& schedule = experiment.schedule;
  rules.check(schedule.final_lr <= experiment.optimizer.lr, {"schedule.final_lr", "optimizer.lr"},
              core::join("must not be above optimizer.lr, ", experiment.optimizer.lr));
  rules.check(experiment.run.steps == 0 || schedule.warmup_steps < experiment.run.steps,
              {"schedule.warmup_steps", "run.steps"}, "the run ends before the warm-up does");
  rules.check(schedule.kind != Schedule::step || !schedule.milestones.empty(),
              {"schedule.milestones", "schedule.kind"},
              "missing: the steps where the rate changes");
  rules.check(std::ranges::adjacent_find(schedule.milestones, std::ranges::greater_equal{}) ==
                  schedule.milestones.end(),
              {"schedule.milestones"}, "must ascend");
}

void check_grow(Rules& rules, Experiment const& experiment) {
  rules.check(!experiment.init.grow_classes || !experiment.init.from.empty(),
              {"init.grow_classes", "init.from"},
              "needs init.from: the weights whose classes are added to");
  rules.check(!experiment.init.grow_classes || experiment.init.head == InitHead::automatic,
              {"init.grow_classes", "init.head"},
              "adds to the classes of the file, which init.head: skip leaves out");
}

/// Defaults that follow from other keys.
void fill_defaults(Experiment& experiment, std::string const& name) {
  if (experiment.run.out.empty())
    experiment.run.out = "runs/" + std::filesystem::path(name).stem().string();
  if (experiment.data.kind == DataKind::idx && experiment.data.path.empty())
    experiment.data.path = "/usr/share/datasets/fashion-mnist";
  for (auto* faces : {&experiment.data.glyphs.train, &experiment.data.glyphs.test,
                      &experiment.data.words.train, &experiment.data.words.test})
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
