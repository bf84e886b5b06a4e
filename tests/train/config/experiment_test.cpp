#include "train/config/experiment.h"
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>
#include "core/cuda/open.h"
#include "tests/support/paths.h"
#include "tests/train/config/experiments.h"
#include "train/errors.h"

namespace train {
namespace {

using tests::good;
using tests::mistakes;
using tests::parse;

TEST_CASE("experiment: settings -> replace keys of the file", "[experiment]") {
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

TEST_CASE("experiment: settings -> create sections, and replace `none`", "[experiment]") {
  auto const experiment = parse({"data.augment.translate=0.25"},
                                "run: {steps: 3}\ndata: {augment: none, global_batch_size: 1,"
                                " classes: 2, samples: 2}");
  CHECK(experiment.data.augment.translate == 0.25);
  CHECK(parse({"data.augment=none"}, good + "seed: 2").data.augment == AugmentConfig{});
  CHECK(mistakes({"seed.x=1"}) == "command line: seed: expected a whole number, found a mapping");
  CHECK(mistakes({"=1"}) == "command line: expected key=value, found '=1'");
  CHECK(mistakes({".=1"}).starts_with("command line: "));
}

TEST_CASE("experiment: to_yaml -> reads back equal", "[experiment]") {
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

TEST_CASE("experiment: every word of an enum -> its value", "[experiment]") {
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

TEST_CASE("experiment: omitted keys -> defaults derived from other keys", "[experiment]") {
  CHECK(parse({}).run.out == "runs/fig");
  CHECK(parse({"data.kind=idx"}).data.path == "/usr/share/datasets/fashion-mnist");
  auto const experiment = parse({"data.glyphs.train=[{path: fonts/Kai.ttf}]"});
  CHECK(experiment.data.glyphs.train[0].name == "Kai");
  CHECK(parse({"data.words.test=[{path: fonts/Kai.ttf}]"}).data.words.test[0].name == "Kai");
}

TEST_CASE("experiment: with_absolute_paths -> paths absolute, bare names kept", "[experiment]") {
  auto const here = std::filesystem::current_path().string();
  auto const e = with_absolute_paths(
      parse({"data.kind=safetensors", "data.path=../a#b.safetensors", "data.eval_path=/b",
             "init.from=c", "data.words.lists=[french, lists/mine]",
             "data.glyphs.train=[{path: Bare.ttf}, {path: fonts/Mine.ttf}]"}));
  CHECK(e.data.path == (std::filesystem::current_path().parent_path() / "a#b.safetensors"));
  CHECK(e.data.eval_path == "/b");
  CHECK(e.init.from == here + "/c");
  CHECK(e.head.class_weights.empty());
  CHECK(e.data.words.lists == std::vector<std::string>{"french", here + "/lists/mine"});
  CHECK(e.data.glyphs.train[0].path == "Bare.ttf");
  CHECK(e.data.glyphs.train[1].path == here + "/fonts/Mine.ttf");
  CHECK(with_absolute_paths(e) == e);
}

void refused(std::string const& wrong) {
  auto const key = wrong.substr(0, wrong.find('='));
  INFO(wrong);
  CHECK(mistakes({wrong}).starts_with("command line: " + key));
  CHECK(mistakes({wrong}).find(": must be") != std::string::npos);
}

TEST_CASE("experiment: values out of range -> rejected", "[experiment]") {
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

TEST_CASE("experiment: values of heads and optimizers out of range -> rejected", "[experiment]") {
  for (std::string const wrong :
       {"head.chunk=0", "optimizer.lr=0", "optimizer.momentum=1", "optimizer.weight_decay=-1",
        "optimizer.betas=[0.9, 1]", "optimizer.eps=0", "optimizer.trust_coefficient=0",
        "optimizer.max_grad_norm=0", "optimizer.accumulation_steps=0", "head.scale=0",
        "head.label_smoothing=1", "head.sampling.rate=0", "head.interclass_filter=2", "head.m1=0.5",
        "head.shards=0", "head.margin=-1"}) {
    refused(wrong);
  }
}

TEST_CASE("experiment: 0 -> a number; auto, all and none -> words", "[experiment]") {
  CHECK(parse({"head.kind=arcface", "head.margin=0"}).head.margin == 0.0);
  CHECK(!parse({"head.kind=arcface", "head.margin=auto"}).head.margin);
  CHECK(parse({"head.chunk=7"}).head.chunk == 7);
  CHECK(!parse({"head.chunk=auto"}, to_yaml(parse({"head.chunk=7"}))).head.chunk);
  CHECK(!parse({"optimizer.max_grad_norm=none"}).optimizer.max_grad_norm);
  CHECK(mistakes({"head.chunk=0"}) ==
        "command line: head.chunk: must be at least 1 or auto, not 0");
  CHECK(mistakes({"head.margin=none"})
            .starts_with("command line: head.margin: expected a finite number"));
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

TEST_CASE("experiment: betas -> two numbers", "[experiment]") {
  CHECK(mistakes({"optimizer.kind=adam", "optimizer.betas=0.9"}) ==
        "command line: optimizer.betas: expected a list of 2 numbers, found '0.9'");
  CHECK(mistakes({"optimizer.kind=adam", "optimizer.betas=[0.9, 0.99, 1]"})
            .starts_with("command line: optimizer.betas: expected a list of 2 numbers"));
  CHECK(mistakes({"optimizer.kind=adam", "optimizer.betas=[0.9, 1]"}) ==
        "command line: optimizer.betas[1]: must be in [0, 1), not 1");
}

TEST_CASE("experiment: a file that cannot be read -> an error with its path", "[experiment]") {
  CHECK_THROWS_AS(read_experiment("no/such.yaml"), MissingInput);
  CHECK_THROWS_AS(read_experiment("/"), MissingInput);
}

TEST_CASE("experiment: a file with every section -> only known keys", "[experiment]") {
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

TEST_CASE("docs/configuration.md -> the output of `colonnade config`", "[experiment]") {
  std::ifstream file(tests::source_folder() + "/docs/configuration.md");
  std::stringstream text;
  text << file.rdbuf();
  CHECK(text.str() == configuration_reference());
}

TEST_CASE("configs/: every experiment -> accepted", "[experiment]") {
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
