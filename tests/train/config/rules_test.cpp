#include "train/config/rules.h"
#include <catch2/catch.hpp>
#include "core/cuda/open.h"
#include "tests/train/config/experiments.h"

namespace train {
namespace {

using tests::good;
using tests::mistakes;
using tests::parse;

/// Settings, and the only error they cause.
struct Impossible {
  std::vector<std::string> settings;
  std::string mistake;
};

void one_mistake(std::vector<std::string> const& settings, std::string const& mistake) {
  auto const message = mistakes(settings);
  INFO(mistake << "\nnot\n" << message);
  CHECK(message.find(mistake) != std::string::npos);
  CHECK(message.find('\n') == std::string::npos);
}

TEST_CASE("rules: a key that the optimizer does not use -> an error at the key", "[experiment]") {
  for (auto const& [settings, mistake] : std::vector<Impossible>{
           {{"optimizer.nesterov=true", "optimizer.momentum=0"}, "optimizer.nesterov: needs a mom"},
           {{"optimizer.kind=lars", "optimizer.nesterov=true", "optimizer.momentum=0"},
            "optimizer.nesterov: needs a momentum above 0"},
           {{"optimizer.kind=adam", "optimizer.nesterov=true"},
            "optimizer.nesterov: not used by optimizer.kind: adam; remove this key"},
           {{"optimizer.kind=adamw", "optimizer.nesterov=true"},
            "optimizer.nesterov: not used by optimizer.kind: adamw"},
           {{"optimizer.betas=[0.9, 0.99]"}, "optimizer.betas: not used by optimizer.kind: sgd"},
           {{"optimizer.kind=lars", "optimizer.eps=1"},
            "optimizer.eps: not used by optimizer.kind: lars"},
           {{"optimizer.kind=adamw", "optimizer.trust_coefficient=1"},
            "optimizer.trust_coefficient: not used by optimizer.kind: adamw"}}) {
    one_mistake(settings, mistake);
  }
}

TEST_CASE(
    "rules: a key that the head does not use, or a combination that is not defined -> an error",
    "[experiment]") {
  for (auto const& [settings, mistake] : std::vector<Impossible>{
           {{"head.kind=row_parallel", "head.chunk=8"},
            "head.chunk: not used by head.kind: row_parallel"},
           {{"head.kind=row_parallel", "head.logits=store"},
            "head.logits: not used by head.kind: row_parallel"},
           {{"head.kind=row_parallel", "head.sampling.rate=0.5"},
            "head.sampling: not used by head.kind: row_parallel"},
           {{"head.kind=row_parallel", "optimizer.kind=adam"},
            "optimizer.kind: row_parallel supports sgd only"},
           {{"head.kind=row_parallel", "optimizer.accumulation_steps=2"},
            "optimizer.accumulation_steps: row_par"},
           {{"head.scale=8"}, "head.scale: not used by head.kind: softmax; remove this key"},
           {{"head.kind=arcface", "head.bias=true"}, "head.bias: not used by head.kind: arcface"},
           {{"head.kind=arcface", "head.m2=0.5"}, "head.m2: not used by head.kind: arcface"},
           {{"head.kind=normface", "head.margin=0.5"},
            "head.margin: not used by head.kind: normface"},
           {{"head.kind=cosface", "head.adaface_h=1"},
            "head.adaface_h: not used by head.kind: cosface"},
           {{"head.kind=curricularface", "head.interclass_filter=0.5"},
            "head.interclass_filter: not used by head.kind: curricularface"},
           {{"head.kind=curricularface", "head.label_smoothing=0.1"},
            "head.label_smoothing: not defined for curricularface"},
           {{"head.kind=arcface", "head.label_smoothing=0.1", "head.interclass_filter=0.5"},
            "head.label_smoothing: needs the logits of all classes; head.interclass_filter"},
           {{"head.label_smoothing=0.1", "head.sampling.rate=0.5"},
            "head.label_smoothing: needs the logits of all classes; head.sampling"},
           {{"head.label_smoothing=0.1", "head.passes=one"}, "head.label_smoothing: its gradient"},
           {{"head.sampling.unsampled_rows=dense"},
            "head.sampling.unsampled_rows: has an effect only"},
           {{"head.sampling.log_q=true"}, "head.sampling.log_q: has an effect only"},
           {{"head.sampling.rate=0.5", "optimizer.accumulation_steps=2"},
            "head.sampling.rate: micro-batches"},
           {{"head.sampling.rate=0.5", "head.shards=1"}, "head.sampling.rate: replicas have"}}) {
    one_mistake(settings, mistake);
  }
}

TEST_CASE("rules: keys that do not go together -> one error with its reason", "[experiment]") {
  std::string const fonts = "data.glyphs.train=[{path: a}, {path: b}]", glyphs = "data.kind=glyphs";
  for (auto const& [settings, mistake] : std::vector<Impossible>{
           {{"run.epochs=0"}, "run.epochs: set run.epochs or run.steps: one of them"},
           {{"data.classes=auto"},
            "data.classes: required for random images: the number of classes"},
           {{"data.samples=0"}, "data.samples: required for random images: the number of samples"},
           {{"data.kind=safetensors"}, "data.path: required: the safetensors file"},
           {{glyphs}, "data.glyphs.train: required: the fonts to train on"},
           {{glyphs, fonts, "data.glyphs.min_fonts=3"},
            "data.glyphs.min_fonts: is 3, but there are 2 training fonts"},
           {{"data.glyphs.train=[{name: A}]"}, "data.glyphs.train[0].path: required: the font"},
           {{"data.glyphs.train=[{path: a}, {path: a}]"},
            "data.glyphs.train[1]: this font is listed twice"},
           {{fonts, "data.glyphs.test=[{path: b}]"},
            "data.glyphs.test[0]: this font is also a training font"},
           {{"data.glyphs.test=[{path: b}, {path: c, name: b}]"},
            "data.glyphs.test[1]: another test font has the name 'b'"},
           {{"data.glyphs.last=U+10"}, "data.glyphs.last: must not be before"},
           {{"data.kind=words", "data.words.train=[{path: a}]"},
            "data.words.lists: required: the word lists"},
           {{"data.kind=words", "data.words.lists=[a]"},
            "data.words.train: required: the fonts to train on"},
           {{"data.words.lists=french"}, "data.words.lists: expected a list, found 'french'"},
           {{"data.words.lists=[[a]]"}, "data.words.lists[0]: expected"},
           {{"data.words.train=[{path: a}]", "data.words.test=[{path: a}]"},
            "data.words.test[0]: this font is also a training font"},
           {{"data.mean=[1, 2]"}, "data.mean: has 2 numbers, but the images have 3 channels"},
           {{"data.std=[1, 2]"}, "data.std: has 2 numbers"},
           {{"data.kind=idx", "data.mean=[1, 2, 3]"},
            "data.mean: has 3 numbers, but the images have 1 c"},
           {{"data.mean=[]"}, "data.mean: required: a number"},
           {{"schedule.kind=step"}, "schedule.milestones: required"},
           {{"schedule.milestones=[3, 3]"}, "schedule.milestones: must ascend"},
           {{"run.steps=5", "schedule.warmup_steps=5"},
            "schedule.warmup_steps: must be below run.steps"},
           {{"model.trunk=resnet18", "model.width=64"},
            "model.width: not used by model.trunk: resnet18; remove this key"},
           {{"model.trunk=iresnet18", "model.depth=2"},
            "model.depth: not used by model.trunk: iresnet18"},
           {{"model.trunk=resnet50", "model.dropout=0.1"},
            "model.dropout: not used by model.trunk: resnet50"},
           {{"model.trunk=conv", "model.dropout=0.1"},
            "model.dropout: not used by model.trunk: conv"},
           {{"model.trunk=conv", "model.depth=2"}, "model.depth: not used by model.trunk: conv"},
           {{"model.trunk=resnet34", "model.kernel=5"},
            "model.kernel: not used by model.trunk: resnet34"},
           {{"model.trunk=resnet34", "model.stride=2"},
            "model.stride: not used by model.trunk: resnet34"}}) {
    one_mistake(settings, mistake);
  }
}

TEST_CASE("rules: init.grow_classes -> needs the classifier of a file", "[experiment]") {
  CHECK(parse({"init.grow_classes=true", "init.from=a"}).init.grow_classes);
  CHECK_THAT(mistakes({"init.grow_classes=true"}),
             Catch::Contains("init.grow_classes: needs init.from"));
  CHECK_THAT(
      mistakes({"init.grow_classes=true", "init.from=a", "init.head=skip"}),
      Catch::Contains("init.grow_classes: needs the classifier of the file; remove init.head"));
}

TEST_CASE("rules: every optimizer -> accepts its own keys", "[experiment]") {
  auto const adam =
      parse({"optimizer.kind=adamw", "optimizer.betas=[0.8, 0.95]", "optimizer.eps=1e-6"});
  CHECK(adam.optimizer.kind == OptimizerKind::adamw);
  CHECK(adam.optimizer.betas == std::array{0.8, 0.95});
  CHECK(adam.optimizer.eps == 1e-6);
  auto const lars =
      parse({"optimizer.kind=lars", "optimizer.trust_coefficient=0.02", "optimizer.nesterov=true"});
  CHECK(lars.optimizer.kind == OptimizerKind::lars);
  CHECK(lars.optimizer.trust_coefficient == 0.02);
  CHECK(parse({"optimizer.kind=adam"}).optimizer.kind == OptimizerKind::adam);
}

TEST_CASE("rules: a missing key -> the error is at the section around it", "[experiment]") {
  CHECK(mistakes({}, "seed: 1\ndata:\n  kind: synthetic\n") ==
        "4 errors\n"
        "a/fig.yaml:1:1: run.epochs: set run.epochs or run.steps: one of them must end the run\n"
        "a/fig.yaml:2:1: data.global_batch_size: required: the number of samples of a step, over "
        "all ranks\n"
        "a/fig.yaml:2:1: data.classes: required for random images: the number of classes\n"
        "a/fig.yaml:2:1: data.samples: required for random images: the number of samples");
}

TEST_CASE("rules: a key with an invalid value -> not also reported as missing", "[experiment]") {
  CHECK(mistakes({"run.epochs=x"}) ==
        "command line: run.epochs: expected a whole number, found 'x'");
  CHECK(mistakes({}, "run: {epochs: 1}\ndata: 5") ==
        "a/fig.yaml:2:7: data: expected a mapping, found '5'");
}

TEST_CASE("rules: device: cuda -> an error in a build without CUDA", "[experiment]") {
  auto const said = mistakes({"device=cuda"});
  CHECK(said == (core::cuda::built() ? ""
                                     : "command line: device: this program was built without CUDA; "
                                       "use device: cpu or auto"));
}

}  // namespace
}  // namespace train
