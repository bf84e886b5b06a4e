#include "train/config/rules.h"
#include <algorithm>
#include <set>
#include "core/cuda/open.h"
#include "train/config/fields.h"

namespace train {
namespace {

/// Adds errors to a document.
class Rules {
 public:
  explicit Rules(Document& document) : document_(document) {}

  /// Adds an error at the first key unless `holds`, or if one of the keys has an error already.
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
              "set run.epochs or run.steps: one of them must end the run");
}

void check_channels(Rules& rules, Experiment const& experiment, std::string const& key,
                    std::vector<double> const& values) {
  auto const count = static_cast<int64_t>(values.size());
  rules.check(count > 0, {key}, "required: a number, or one for each channel");
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
              "required: the number of samples of a step, over all ranks");
  rules.check(!synthetic || data.classes.has_value(), {"data.classes", "data.kind"},
              "required for random images: the number of classes");
  rules.check(!synthetic || data.samples > 0, {"data.samples", "data.kind"},
              "required for random images: the number of samples");
  rules.check(data.kind != DataKind::safetensors || !data.path.empty(), {"data.path", "data.kind"},
              "required: the safetensors file with the images");
  check_channels(rules, experiment, "data.mean", data.mean);
  check_channels(rules, experiment, "data.std", data.std);
}

/// Checks the fonts of a section.
void check_fonts(Rules& rules, std::string const& section, std::vector<Face> const& train,
                 std::vector<Face> const& test) {
  std::set<std::pair<std::string, int>> training;
  std::set<std::string> names;
  for (size_t i = 0; i < train.size(); ++i) {
    auto const key = core::join(section, ".train[", i, "]");
    Face const& face = train[i];
    rules.check(!face.path.empty(), {key + ".path"}, "required: the font file");
    bool const fresh = training.emplace(face.path, face.index).second;
    rules.check(fresh || face.path.empty(), {key}, "this font is listed twice");
  }
  for (size_t i = 0; i < test.size(); ++i) {
    auto const key = core::join(section, ".test[", i, "]");
    Face const& face = test[i];
    rules.check(!face.path.empty(), {key + ".path"}, "required: the font file");
    rules.check(!training.contains({face.path, face.index}), {key},
                "this font is also a training font; test fonts must not be");
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
              "required: the fonts to train on");
  auto const fonts = static_cast<int>(glyphs.train.size());
  rules.check(fonts == 0 || glyphs.min_fonts <= fonts, {"data.glyphs.min_fonts"},
              core::join("is ", glyphs.min_fonts, ", but there are ", fonts, " training fonts"));
}

void check_words(Rules& rules, Experiment const& experiment) {
  WordsConfig const& words = experiment.data.words;
  check_fonts(rules, "data.words", words.train, words.test);
  if (experiment.data.kind != DataKind::words) return;
  rules.check(!words.lists.empty(), {"data.words.lists", "data.kind", "data.words"},
              "required: the word lists");
  rules.check(!words.train.empty(), {"data.words.train", "data.kind", "data.words"},
              "required: the fonts to train on");
}

/// Keys that the trunk does not use must have their defaults.
void check_model(Rules& rules, Experiment const& experiment) {
  ModelConfig const& model = experiment.model;
  ModelConfig const standard;
  auto const trunk = std::string(names<Trunk>[static_cast<size_t>(model.trunk)]);
  auto const unused = [&](bool used, std::string const& key, bool changed) {
    rules.check(used || !changed, {"model." + key, "model.trunk"},
                "not used by model.trunk: " + trunk + "; remove this key");
  };
  bool const small = model.trunk == Trunk::small, sized = small || model.trunk == Trunk::conv;
  bool const resnet = model.trunk == Trunk::resnet18 || model.trunk == Trunk::resnet34 ||
                      model.trunk == Trunk::resnet50;
  unused(sized, "width", model.width != standard.width);
  unused(sized, "kernel", model.kernel != standard.kernel);
  unused(sized, "stride", model.stride != standard.stride);
  unused(small, "depth", model.depth != standard.depth);
  unused(model.trunk != Trunk::conv && !resnet, "dropout", model.dropout != standard.dropout);
}

/// Keys that the head does not use must have their defaults.
void check_head_keys(Rules& rules, HeadConfig const& head) {
  HeadConfig const standard;
  auto const kind = std::string(names<HeadKind>[static_cast<size_t>(head.kind)]);
  auto const unused = [&](bool used, std::string const& key, bool changed) {
    rules.check(used || !changed, {"head." + key, "head.kind"},
                "not used by head.kind: " + kind + "; remove this key");
  };
  bool const by_class = head.kind != HeadKind::row_parallel;
  bool const cosine = by_class && head.kind != HeadKind::softmax;
  bool const combined = head.kind == HeadKind::combined;
  bool const one_margin = cosine && !combined && head.kind != HeadKind::normface;
  unused(!cosine, "bias", head.bias);
  unused(cosine, "scale", head.scale != standard.scale);
  unused(one_margin, "margin", head.margin.has_value());
  unused(combined, "m1", head.m1 != 1);
  unused(combined, "m2", head.m2 != 0);
  unused(combined, "m3", head.m3 != 0);
  unused(one_margin || combined, "margin_gradient",
         head.margin_gradient != standard.margin_gradient);
  unused(head.kind == HeadKind::adaface, "adaface_h", head.adaface_h != standard.adaface_h);
  unused(cosine && head.kind != HeadKind::curricularface, "interclass_filter",
         head.interclass_filter != standard.interclass_filter);
  unused(by_class, "label_smoothing", head.label_smoothing != 0);
  unused(by_class, "z_loss", head.z_loss != 0);
  unused(by_class, "class_weights", !head.class_weights.empty());
  unused(by_class, "sampling", head.sampling != standard.sampling);
  unused(by_class, "storage", head.storage != standard.storage);
  unused(by_class, "chunk", head.chunk.has_value());
  unused(by_class, "logits", head.logits != standard.logits);
  unused(by_class, "passes", head.passes != standard.passes);
  unused(by_class, "shards", head.shards.has_value());
  unused(by_class, "init_std", head.init_std != standard.init_std);
}

/// Combinations of head and optimizer that are not defined.
void check_head(Rules& rules, Experiment const& experiment) {
  HeadConfig const& head = experiment.head;
  check_head_keys(rules, head);
  bool const smooth = head.label_smoothing > 0, samples = head.sampling.rate < 1;
  rules.check(head.kind != HeadKind::sphereface || head.margin.value_or(1) >= 1,
              {"head.margin", "head.kind"}, "sphereface multiplies the angle: at least 1");
  rules.check(!smooth || head.kind != HeadKind::curricularface,
              {"head.label_smoothing", "head.kind"},
              "not defined for curricularface, which changes the logits of other classes");
  rules.check(!smooth || head.interclass_filter == 1,
              {"head.label_smoothing", "head.interclass_filter"},
              "needs the logits of all classes; head.interclass_filter removes some");
  rules.check(!smooth || head.passes == layers::Passes::two,
              {"head.label_smoothing", "head.passes"},
              "its gradient needs a second pass over the classes; use head.passes: two");
  rules.check(!smooth || !samples, {"head.label_smoothing", "head.sampling.rate"},
              "needs the logits of all classes; head.sampling uses a subset");
  rules.check(head.sampling.unsampled_rows == layers::UnsampledRows::lazy || samples,
              {"head.sampling.unsampled_rows"},
              "has an effect only with class sampling; set head.sampling.rate");
  rules.check(!head.sampling.log_q || samples, {"head.sampling.log_q"},
              "has an effect only with class sampling; set head.sampling.rate");
  rules.check(!samples || experiment.optimizer.accumulation_steps == 1,
              {"head.sampling.rate", "optimizer.accumulation_steps"},
              "micro-batches have different target classes; use optimizer.accumulation_steps: 1");
  rules.check(!samples || !head.shards, {"head.sampling.rate", "head.shards"},
              "replicas have different target classes; use head.shards: auto");
  bool const row_parallel = head.kind == HeadKind::row_parallel;
  rules.check(!row_parallel || experiment.optimizer.kind == OptimizerKind::sgd,
              {"optimizer.kind", "head.kind"}, "row_parallel supports sgd only");
  rules.check(!row_parallel || experiment.optimizer.accumulation_steps == 1,
              {"optimizer.accumulation_steps", "head.kind"},
              "row_parallel does not support gradient accumulation; use 1");
}

/// Keys that the optimizer does not use must have their defaults.
void check_optimizer(Rules& rules, OptimizerConfig const& optimizer) {
  OptimizerConfig const standard;
  auto const kind = std::string(names<OptimizerKind>[static_cast<size_t>(optimizer.kind)]);
  auto const unused = [&](bool used, std::string const& key, bool changed) {
    rules.check(used || !changed, {"optimizer." + key, "optimizer.kind"},
                "not used by optimizer.kind: " + kind + "; remove this key");
  };
  bool const adam = optimizer.kind == OptimizerKind::adam || optimizer.kind == OptimizerKind::adamw;
  unused(!adam, "momentum", optimizer.momentum != standard.momentum);
  unused(adam, "betas", optimizer.betas != standard.betas);
  unused(adam, "eps", optimizer.eps != standard.eps);
  unused(optimizer.kind == OptimizerKind::lars, "trust_coefficient",
         optimizer.trust_coefficient != standard.trust_coefficient);
  unused(!adam, "nesterov", optimizer.nesterov);
  rules.check(adam || !optimizer.nesterov || optimizer.momentum > 0,
              {"optimizer.nesterov", "optimizer.momentum"}, "needs a momentum above 0");
}

void check_training(Rules& rules, Experiment const& experiment) {
  ScheduleConfig const& schedule = experiment.schedule;
  rules.check(schedule.final_lr <= experiment.optimizer.lr, {"schedule.final_lr", "optimizer.lr"},
              core::join("must not be above optimizer.lr, ", experiment.optimizer.lr));
  rules.check(experiment.run.steps == 0 || schedule.warmup_steps < experiment.run.steps,
              {"schedule.warmup_steps", "run.steps"}, "must be below run.steps");
  rules.check(schedule.kind != Schedule::step || !schedule.milestones.empty(),
              {"schedule.milestones", "schedule.kind"},
              "required: the steps at which the learning rate changes");
  rules.check(std::ranges::adjacent_find(schedule.milestones, std::ranges::greater_equal{}) ==
                  schedule.milestones.end(),
              {"schedule.milestones"}, "must ascend");
}

void check_grow(Rules& rules, Experiment const& experiment) {
  rules.check(!experiment.init.grow_classes || !experiment.init.from.empty(),
              {"init.grow_classes", "init.from"},
              "needs init.from: the weights to which classes are added");
  rules.check(!experiment.init.grow_classes || experiment.init.head == InitHead::automatic,
              {"init.grow_classes", "init.head"},
              "needs the classifier of the file; remove init.head: skip");
}

}  // namespace

void check_rules(Document& document, Experiment const& experiment) {
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
}

}  // namespace train
