#include "train/config/experiment.h"
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>
#include "core/cuda/open.h"
#include "tests/support/paths.h"
#include "train/config/foreign_keys.h"
#include "train/errors.h"

namespace train {
namespace {

std::string const good =
    "run: {epochs: 1}\ndata: {global_batch_size: 4, classes: 10, samples: 100}\n";

Experiment parse(std::vector<std::string> const& settings, std::string const& text = good) {
  return parse_experiment("a/fig.yaml", text, settings);
}

std::string mistakes(std::vector<std::string> const& settings, std::string const& text = good) {
  try {
    parse(settings, text);
  } catch (ConfigError const& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("settings win over the file", "[experiment]") {
  auto const text = good + "optimizer: {lr: 0.1, momentum: 0.5}\ndata2: 0\n";
  CHECK(mistakes({}, text).ends_with("data2: unknown key; did you mean 'data'?"));
  auto const experiment = parse({"optimizer.lr=0.4", "model.width=8", "run.out=runs/b",
                                 "init.from=", "optimizer.lr=0.5", "data.mean=[0.5, 0.25, 1]"},
                                good + "optimizer: {lr: 0.1, momentum: 0.5}\n");
  CHECK(experiment.optimizer.lr == 0.5);
  CHECK(experiment.optimizer.momentum == 0.5);
  CHECK(experiment.model.width == 8);
  CHECK(experiment.run.out == "runs/b");
  CHECK(experiment.init.from.empty());
  CHECK(experiment.data.mean == std::vector{0.5, 0.25, 1.0});
}

TEST_CASE("settings build sections, and replace `none`", "[experiment]") {
  auto const experiment = parse({"data.augment.translate=0.25"},
                                "run: {steps: 3}\ndata: {augment: none, global_batch_size: 1,"
                                " classes: 2, samples: 2}");
  CHECK(experiment.data.augment.translate == 0.25);
  CHECK(parse({"data.augment=none"}, good + "seed: 2").data.augment == AugmentConfig{});
  CHECK(mistakes({"seed.x=1"}) == "command line: seed: expected a whole number, found a mapping");
  CHECK(mistakes({"=1"}) == "command line: expected key=value, found '=1'");
  CHECK(mistakes({".=1"}).starts_with("command line: "));
}

TEST_CASE("an experiment written reads back equal", "[experiment]") {
  auto const experiment =
      parse({"seed=18446744073709551615", "run.out=a \"b\" \\c", "optimizer.lr=1e-5",
             "schedule.milestones=[10, 20]", "data.mean=[0.1, 0.2, 0.3]", "data.kind=glyphs",
             "data.glyphs.last=U+2A6D6", "data.mean=0.30000000000000004",
             "data.glyphs.train=[{path: a.ttc, index: 2, name: A é}, {path: b.ttf}]",
             "data.glyphs.test=[{path: c.ttf}]", "head.bias=true",
             "data.words.lists=[french, 'a \"b\"']", "head.chunk=17"});
  auto const text = to_yaml(experiment);
  CHECK(parse({}, text) == experiment);
  CHECK(to_yaml(parse({}, text)) == text);
  CHECK(experiment.data.mean == std::vector{0.30000000000000004});
  CHECK(experiment.run.out == "a \"b\" \\c");
}

TEST_CASE("every name of an enum stands for its value", "[experiment]") {
  CHECK(parse({"device=auto"}).device == DeviceChoice::automatic);
  CHECK(parse({"device=cpu"}).device == DeviceChoice::cpu);
  CHECK(parse({"precision=f32"}).precision == Precision::f32);
  CHECK(parse({"precision=bf16"}).precision == Precision::bf16);
  CHECK(parse({"model.batch_norm=sync"}).model.batch_norm == BatchNormKind::sync);
  CHECK(parse({"model.trunk=conv"}).model.trunk == Trunk::conv);
  CHECK(parse({"model.trunk=small"}).model.trunk == Trunk::small);
  CHECK(parse({"head.kind=row_parallel"}).head.kind == HeadKind::row_parallel);
  CHECK(parse({"head.logits=store"}).head.logits == layers::Logits::store);
  CHECK(parse({"head.logits=recompute"}).head.logits == layers::Logits::recompute);
  CHECK(parse({"schedule.kind=cosine"}).schedule.kind == Schedule::cosine);
  CHECK(parse({"schedule.kind=step", "schedule.milestones=3"}).schedule.kind == Schedule::step);
  CHECK(parse({"schedule.kind=linear"}).schedule.kind == Schedule::linear);
  CHECK(parse({"schedule.kind=polynomial"}).schedule.kind == Schedule::polynomial);
  CHECK(parse({"data.kind=idx"}).data.kind == DataKind::idx);
  CHECK(parse({"data.kind=safetensors", "data.path=f"}).data.kind == DataKind::safetensors);
  CHECK(parse({"data.kind=words", "data.words.lists=[a]", "data.words.train=[{path: a}]"})
            .data.kind == DataKind::words);
}

TEST_CASE("defaults that follow from others", "[experiment]") {
  CHECK(parse({}).run.out == "runs/fig");
  CHECK(parse({"data.kind=idx"}).data.path == "/usr/share/datasets/fashion-mnist");
  auto const experiment = parse({"data.glyphs.train=[{path: fonts/Kai.ttf}]"});
  CHECK(experiment.data.glyphs.train[0].name == "Kai");
  CHECK(parse({"data.words.test=[{path: fonts/Kai.ttf}]"}).data.words.test[0].name == "Kai");
}

void refused(std::string const& wrong) {
  auto const key = wrong.substr(0, wrong.find('='));
  INFO(wrong);
  CHECK(mistakes({wrong}).starts_with("command line: " + key));
  CHECK(mistakes({wrong}).find(": must be") != std::string::npos);
}

TEST_CASE("values out of range are refused", "[experiment]") {
  for (std::string const wrong : {"run.epochs=-1",
                                  "run.steps=-1",
                                  "run.log_every=0",
                                  "run.eval_every_epochs=-1",
                                  "run.threads=0",
                                  "data.global_batch_size=0",
                                  "data.workers=0",
                                  "data.prefetch_batches=0",
                                  "data.augment.translate=0.6",
                                  "data.augment.rotation=181",
                                  "data.augment.scale=1",
                                  "data.augment.shear=1.1",
                                  "data.augment.blur_sigma=-1",
                                  "data.augment.noise_std=1.1",
                                  "data.augment.contrast=1",
                                  "data.std=0",
                                  "data.classes=0",
                                  "data.samples=-1",
                                  "data.height=0",
                                  "data.width=0",
                                  "data.channels=0",
                                  "data.glyphs.classes=0",
                                  "data.glyphs.min_fonts=0",
                                  "data.glyphs.size=7",
                                  "data.words.classes=0",
                                  "data.words.height=7",
                                  "data.words.width=7",
                                  "data.words.eval_samples=0",
                                  "model.features=0",
                                  "model.dropout=1",
                                  "model.width=0",
                                  "model.depth=0",
                                  "model.kernel=0",
                                  "model.stride=0",
                                  "schedule.warmup_steps=-1",
                                  "schedule.final_lr=-1",
                                  "schedule.power=0",
                                  "schedule.milestones=[0]",
                                  "schedule.gamma=0",
                                  "checkpoint.every_steps=-1",
                                  "checkpoint.keep_last=0"}) {
    refused(wrong);
  }
}

TEST_CASE("values of heads and optimizers out of range are refused", "[experiment]") {
  for (std::string const wrong :
       {"head.chunk=0", "optimizer.lr=0", "optimizer.momentum=1", "optimizer.weight_decay=-1",
        "optimizer.betas=[0.9, 1]", "optimizer.eps=0", "optimizer.trust_coefficient=0",
        "optimizer.max_grad_norm=0", "optimizer.accumulation_steps=0", "head.scale=0",
        "head.label_smoothing=1", "head.sampling.rate=0", "head.interclass_filter=2", "head.m1=0.5",
        "head.shards=0", "head.margin=-1"}) {
    refused(wrong);
  }
}

TEST_CASE("experiment: 0 is a number; auto, all and none are words", "[experiment]") {
  CHECK(parse({"head.kind=arcface", "head.margin=0"}).head.margin == 0.0);
  CHECK(!parse({"head.kind=arcface", "head.margin=auto"}).head.margin);
  CHECK(parse({"head.chunk=7"}).head.chunk == 7);
  CHECK(!parse({"head.chunk=auto"}, to_yaml(parse({"head.chunk=7"}))).head.chunk);
  CHECK(!parse({"optimizer.max_grad_norm=none"}).optimizer.max_grad_norm);
  CHECK(mistakes({"head.chunk=0"}) ==
        "command line: head.chunk: must be at least 1 or auto, not 0");
  CHECK(mistakes({"head.margin=none"}).starts_with("command line: head.margin: expected a number"));
}

TEST_CASE("experiment: command-line values -> the text as typed", "[experiment]") {
  for (std::string const path :
       {"a # b", "a: b", "a'b", "\"a\"", " a ", "- a", "*a", "&a", "!a", "~", "null", "true", "7",
        "[old] a", "{a", "[a, b]", "a\\b", "a=b", "%a"})
    CHECK(parse({"run.out=" + path}).run.out == path);
  CHECK(parse({"data.mean=[0.5, 0.25, 1]"}).data.mean == std::vector{0.5, 0.25, 1.0});
  CHECK(parse({"data.augment={rotation: 5}"}).data.augment.rotation == 5);
  CHECK(
      parse({"data.kind=words", "data.words.lists=[a, \"b # c\"]", "data.words.train=[{path: a}]"})
          .data.words.lists == std::vector<std::string>{"a", "b # c"});
  CHECK(mistakes({"seed=\"7\""}).starts_with("command line: seed: expected a whole number"));
  CHECK(
      mistakes({"head.chunk=["}).starts_with("command line: head.chunk: expected a whole number"));
}

TEST_CASE("experiment: words of other trainers -> did you mean", "[experiment]") {
  auto const meant = [](std::string const& word) {
    auto const message = mistakes({word + "=1"});
    auto const quote = message.find("did you mean '");
    if (quote == std::string::npos) return std::string();
    auto const begin = quote + 14;
    return message.substr(begin, message.find('\'', begin) - begin);
  };
  CHECK(meant("learning_rate") == "optimizer.lr");
  CHECK(meant("optimizer.learning_rate") == "optimizer.lr");
  CHECK(meant("lr") == "optimizer.lr");
  CHECK(meant("batch_size") == "data.global_batch_size");
  CHECK(meant("data.batch_size") == "data.global_batch_size");
  CHECK(meant("num_workers") == "data.workers");
  CHECK(meant("wd") == "optimizer.weight_decay");
  CHECK(meant("embedding_size") == "model.features");
  CHECK(meant("model.backbone") == "model.trunk");
  CHECK(meant("network") == "model.trunk");
  CHECK(meant("epochs") == "run.epochs");
  CHECK(meant("max_epochs") == "run.epochs");
  CHECK(meant("sample_rate") == "head.sampling.rate");
  CHECK(meant("gradient_clip_val") == "optimizer.max_grad_norm");
  CHECK(meant("optimizer.weight_decai") == "weight_decay");
  CHECK(meant("kind").empty());  // data, head, optimizer and schedule have one each
}

TEST_CASE("experiment: every word of other trainers -> a key that exists", "[experiment]") {
  for (auto const& [word, key] : foreign_keys()) {
    INFO(word);
    CHECK(key_meant_by(word) == key);
    auto const last = std::string(key.substr(key.rfind('.') + 1));
    CHECK(to_yaml({}).find(last + ":") != std::string::npos);
    CHECK(mistakes({std::string(key) + "=[["}).find("unknown key") == std::string::npos);
  }
}

TEST_CASE("experiment: betas are two numbers", "[experiment]") {
  CHECK(mistakes({"optimizer.kind=adam", "optimizer.betas=0.9"}) ==
        "command line: optimizer.betas: expected a list of 2 numbers, found '0.9'");
  CHECK(mistakes({"optimizer.kind=adam", "optimizer.betas=[0.9, 0.99, 1]"})
            .starts_with("command line: optimizer.betas: expected a list of 2 numbers"));
  CHECK(mistakes({"optimizer.kind=adam", "optimizer.betas=[0.9, 1]"}) ==
        "command line: optimizer.betas[1]: must be in [0, 1), not 1");
}

/// Settings, and the one mistake that follows.
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

TEST_CASE("optimizers refuse what they do not read", "[experiment]") {
  for (auto const& [settings, mistake] : std::vector<Impossible>{
           {{"optimizer.nesterov=true", "optimizer.momentum=0"}, "optimizer.nesterov: needs a mom"},
           {{"optimizer.kind=lars", "optimizer.nesterov=true", "optimizer.momentum=0"},
            "optimizer.nesterov: needs a momentum above 0"},
           {{"optimizer.kind=adam", "optimizer.nesterov=true"},
            "optimizer.nesterov: not used by optimizer.kind: adam; remove this key"},
           {{"optimizer.kind=adamw", "optimizer.nesterov=true", "optimizer.momentum=0"},
            "optimizer.nesterov: not used by optimizer.kind: adamw"},
           {{"optimizer.betas=[0.9, 0.99]"}, "optimizer.betas: not used by optimizer.kind: sgd"},
           {{"optimizer.kind=lars", "optimizer.eps=1"},
            "optimizer.eps: not used by optimizer.kind: lars"},
           {{"optimizer.kind=adamw", "optimizer.trust_coefficient=1"},
            "optimizer.trust_coefficient: not used by optimizer.kind: adamw"}}) {
    one_mistake(settings, mistake);
  }
}

TEST_CASE("heads refuse what they do not read, and what has no meaning", "[experiment]") {
  for (auto const& [settings, mistake] : std::vector<Impossible>{
           {{"head.kind=row_parallel", "head.chunk=8"},
            "head.chunk: not used by head.kind: row_parallel"},
           {{"head.kind=row_parallel", "head.logits=store"},
            "head.logits: not used by head.kind: row_parallel"},
           {{"head.kind=row_parallel", "head.sampling.rate=0.5"}, "head.sampling: row_parallel"},
           {{"head.kind=row_parallel", "optimizer.kind=adam"},
            "optimizer.kind: row_parallel takes"},
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
            "head.label_smoothing: curricularface bends"},
           {{"head.kind=arcface", "head.label_smoothing=0.1", "head.interclass_filter=0.5"},
            "head.label_smoothing: needs the logits of all classes; head.interclass_filter"},
           {{"head.label_smoothing=0.1", "head.sampling.rate=0.5"},
            "head.label_smoothing: needs the logits of all classes; head.sampling"},
           {{"head.label_smoothing=0.1", "head.passes=one"}, "head.label_smoothing: its gradient"},
           {{"head.sampling.unsampled_rows=dense"},
            "head.sampling.unsampled_rows: has an effect only"},
           {{"head.sampling.log_q=true"}, "head.sampling.log_q: corrects"},
           {{"head.sampling.rate=0.5", "optimizer.accumulation_steps=2"},
            "head.sampling.rate: micro-batches"},
           {{"head.sampling.rate=0.5", "head.shards=1"}, "head.sampling.rate: replicas have"}}) {
    one_mistake(settings, mistake);
  }
}

TEST_CASE("keys that do not go together are refused with a reason", "[experiment]") {
  std::string const fonts = "data.glyphs.train=[{path: a}, {path: b}]", glyphs = "data.kind=glyphs";
  for (auto const& [settings, mistake] : std::vector<Impossible>{
           {{"run.epochs=0"}, "run.epochs: set run.epochs or run.steps; nothing says when"},
           {{"data.classes=0"}, "data.classes: required for random images: the number of classes"},
           {{"data.samples=0"}, "data.samples: required for random images: the number of samples"},
           {{"data.kind=safetensors"}, "data.path: required: the safetensors file"},
           {{glyphs}, "data.glyphs.train: required: the fonts to train on"},
           {{glyphs, fonts, "data.glyphs.min_fonts=3"},
            "data.glyphs.min_fonts: is 3, but there are 2 training fonts"},
           {{"data.glyphs.train=[{name: A}]"}, "data.glyphs.train[0].path: missing"},
           {{"data.glyphs.train=[{path: a}, {path: a}]"}, "data.glyphs.train[1]: the same font"},
           {{fonts, "data.glyphs.test=[{path: b}]"},
            "data.glyphs.test[0]: this font is trained on"},
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
            "data.words.test[0]: this font is trained on"},
           {{"data.mean=[1, 2]"}, "data.mean: has 2 numbers, but the images have 3 channels"},
           {{"data.std=[1, 2]"}, "data.std: has 2 numbers"},
           {{"data.kind=idx", "data.mean=[1, 2, 3]"},
            "data.mean: has 3 numbers, but the images have 1 c"},
           {{"data.mean=[]"}, "data.mean: needs a number"},
           {{"schedule.kind=step"}, "schedule.milestones: missing"},
           {{"schedule.milestones=[3, 3]"}, "schedule.milestones: must ascend"},
           {{"run.steps=5", "schedule.warmup_steps=5"},
            "schedule.warmup_steps: must be below run.steps"},
           {{"model.trunk=resnet18", "model.width=64"},
            "model.width: not used by model.trunk: resnet18; remove this key"},
           {{"model.trunk=iresnet18", "model.depth=2"},
            "model.depth: not used by model.trunk: iresnet18"},
           {{"model.trunk=resnet50", "model.dropout=0.1"},
            "model.dropout: the trunk resnet50 does"},
           {{"model.trunk=conv", "model.dropout=0.1"},
            "model.dropout: not used by model.trunk: conv"},
           {{"model.trunk=conv", "model.depth=2"}, "model.depth: not used by model.trunk: conv"},
           {{"model.trunk=resnet34", "model.kernel=5"}, "model.kernel: the trunk resnet34 does"},
           {{"model.trunk=resnet34", "model.stride=2"}, "model.stride: the trunk resnet34 does"}}) {
    one_mistake(settings, mistake);
  }
}

TEST_CASE("init.grow_classes needs the classes of a file", "[experiment]") {
  CHECK(parse({"init.grow_classes=true", "init.from=a"}).init.grow_classes);
  CHECK_THAT(mistakes({"init.grow_classes=true"}),
             Catch::Contains("init.grow_classes: needs init.from"));
  CHECK_THAT(
      mistakes({"init.grow_classes=true", "init.from=a", "init.head=skip"}),
      Catch::Contains("init.grow_classes: needs the classifier of the file; remove init.head"));
}

TEST_CASE("every optimizer reads its own keys", "[experiment]") {
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

TEST_CASE("what is missing is placed at the section around it", "[experiment]") {
  CHECK(mistakes({}, "seed: 1\ndata:\n  kind: synthetic\n") ==
        "4 mistakes\n"
        "a/fig.yaml:1:1: run.epochs: set run.epochs or run.steps: one of them must end the run\n"
        "a/fig.yaml:2:1: data.global_batch_size: required: the number of samples of a step, over "
        "all ranks\n"
        "a/fig.yaml:2:1: data.classes: required for random images: the number of classes\n"
        "a/fig.yaml:2:1: data.samples: required for random images: the number of samples");
}

TEST_CASE("a wrong key is not called missing as well", "[experiment]") {
  CHECK(mistakes({"run.epochs=x"}) ==
        "command line: run.epochs: expected a whole number, found 'x'");
  CHECK(mistakes({}, "run: {epochs: 1}\ndata: 5") ==
        "a/fig.yaml:2:7: data: expected a mapping, found '5'");
}

TEST_CASE("device: cuda needs a build with it", "[experiment]") {
  auto const said = mistakes({"device=cuda"});
  CHECK(said == (core::cuda::built() ? ""
                                     : "command line: device: this program was built without CUDA; "
                                       "use device: cpu or auto"));
}

TEST_CASE("files that cannot be read", "[experiment]") {
  CHECK_THROWS_AS(read_experiment("no/such.yaml"), MissingInput);
  CHECK_THROWS_AS(read_experiment("/"), MissingInput);
}

TEST_CASE("the skeleton of the design has only known keys", "[experiment]") {
  std::string const text = R"(
device: auto            # auto | cpu | cuda
precision: auto         # auto | f32 | bf16
seed: 1
run: {out: runs/glyphs, epochs: 10, steps: 0, log_every: 20, eval_every_epochs: 1}
data: {kind: glyphs, global_batch_size: 256}          # batch is global
model: {trunk: resnet18, features: 128, batch_norm: local}   # local | sync
head: {kind: softmax, chunk: auto, logits: auto}
optimizer: {kind: sgd, lr: 0.1, momentum: 0.9, weight_decay: 5.0e-4}
schedule: {kind: cosine, warmup_steps: 100}
checkpoint: {every_steps: 0, keep_last: 3}
init: {from: ""}        # a safetensors file with PyTorch's names and layouts
)";
  auto const experiment = parse({"data.glyphs.train=[{path: a}, {path: b}]"}, text);
  CHECK(experiment.run.epochs == 10);
  CHECK(experiment.optimizer.weight_decay == 5e-4);
  CHECK(experiment.schedule.kind == Schedule::cosine);
}

TEST_CASE("docs/configuration.md is what the program says", "[experiment]") {
  std::ifstream file(tests::source_folder() + "/docs/configuration.md");
  std::stringstream text;
  text << file.rdbuf();
  CHECK(text.str() == configuration_reference());
}

TEST_CASE("every experiment of configs/ is read", "[experiment]") {
  int count = 0;
  for (auto const& entry :
       std::filesystem::directory_iterator(tests::source_folder() + "/configs")) {
    INFO(entry.path());
    auto const experiment = read_experiment(entry.path().string());
    CHECK(parse({}, to_yaml(experiment)) == experiment);
    ++count;
  }
  CHECK(count >= 5);
}

}  // namespace
}  // namespace train
