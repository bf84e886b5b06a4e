#include <algorithm>
#include <catch2/catch.hpp>
#include <random>
#include "train/config/experiment.h"
#include "train/errors.h"

namespace train {
namespace {

std::string const good =
    "run: {epochs: 1}\ndata: {global_batch_size: 4, classes: 10, samples: 100}\n";

/// Returns the error message for a text, or "".
std::string mistakes(std::string const& text, std::vector<std::string> const& settings = {}) {
  try {
    parse_experiment("f.yaml", text, settings);
  } catch (ConfigError const& error) {
    return error.what();
  }
  return "";
}

/// Returns the error message for a valid text plus these lines.
std::string added(std::string const& lines) { return mistakes(good + lines); }

TEST_CASE("config: a short file -> its values; defaults for all other keys", "[config]") {
  auto const experiment = parse_experiment("f.yaml", good + "optimizer: {lr: 0.4}\nseed: 7\n");
  CHECK(experiment.data.global_batch_size == 4);
  CHECK(experiment.data.classes == 10);
  CHECK(experiment.optimizer.lr == 0.4);
  CHECK(experiment.optimizer.momentum == 0.9);
  CHECK(experiment.seed == 7);
}

TEST_CASE("config: several errors -> all listed, in the order of the file", "[config]") {
  auto const text =
      "sed: 1\n"
      "run: {epochs: 010, log_every: 0x10}\n"
      "data:\n"
      "  kind: glyphz\n"
      "  global_batch_size: many\n"
      "  prefetch_batches: \"4\"\n"
      "  mean: [.nan, 1, a]\n"
      "  augment: {blur_sigm: 1, scale: 1}\n"
      "optimizer:\n"
      "  lr: -1\n"
      "  momentum: [1]\n"
      "  nesterov: yes\n"
      "model: 3\n";
  CHECK(mistakes(text, {"foo", "seed=-1", "optimizer.momentun=3"}) ==
        "17 errors\n"
        "f.yaml:1:1: sed: unknown key; did you mean 'seed'?\n"
        "f.yaml:2:15: run.epochs: 010 has a leading zero, which some YAML parsers read as octal; "
        "remove it\n"
        "f.yaml:2:31: run.log_every: 0x10: write numbers in decimal\n"
        "f.yaml:4:9: data.kind: unknown value 'glyphz'; did you mean 'glyphs'?\n"
        "f.yaml:5:22: data.global_batch_size: expected a whole number, found 'many'\n"
        "f.yaml:6:21: data.prefetch_batches: expected a whole number, found '4' in quotes\n"
        "f.yaml:7:10: data.mean[0]: expected a finite number, found '.nan'\n"
        "f.yaml:7:19: data.mean[2]: expected a finite number, found 'a'\n"
        "f.yaml:8:13: data.augment.blur_sigm: unknown key; did you mean 'blur_sigma'?\n"
        "f.yaml:8:34: data.augment.scale: must be in [0, 1), not 1\n"
        "f.yaml:10:7: optimizer.lr: must be above 0, not -1\n"
        "f.yaml:11:13: optimizer.momentum: expected a number, found a list\n"
        "f.yaml:12:13: optimizer.nesterov: expected true or false, found 'yes'\n"
        "f.yaml:13:8: model: expected a mapping, found '3'\n"
        "command line: expected key=value, found 'foo'\n"
        "command line: seed: must be in [0, 18446744073709551615], not -1\n"
        "command line: optimizer.momentun: unknown key; did you mean 'momentum'?");
}

TEST_CASE("config: a word not similar to any known one -> the error lists the choices",
          "[config]") {
  CHECK(
      added("checkpoint: {interval: 3}") ==
      "f.yaml:3:14: checkpoint.interval: unknown key; choose from every_steps, keep_last, initial");
  CHECK(added("model: {trunk: vgg}") ==
        "f.yaml:3:16: model.trunk: unknown value 'vgg'; choose from conv, small, resnet18, "
        "resnet34, resnet50, iresnet18, iresnet34, iresnet50, iresnet100");
  CHECK(added("head: {kind: sotfmax}").ends_with("did you mean 'softmax'?"));
  CHECK(added("head: {kind: [softmax]}").ends_with("expected a word, found a list"));
}

TEST_CASE("config: YAML features that yaml-cpp accepts -> rejected with line and column",
          "[config]") {
  CHECK(added("seed: 1\nseed: 2\n") == "f.yaml:4:1: seed: duplicate key, first on line 3");
  CHECK(
      added("head: {bias: true, bias: true}").starts_with("f.yaml:3:20: head.bias: duplicate key"));
  CHECK(added("seed: &a 1").starts_with("f.yaml:3:7: seed: anchors"));
  CHECK(added("head: {chunk: &a 4}\nseed: *a")
            .ends_with(
                "f.yaml:4:7: seed: aliases (*name) are not supported; write the value itself"));
  CHECK(added("seed: !!int 1").starts_with("f.yaml:3:7: seed: tags (!type) are not supported"));
  CHECK(added("---\nseed: 1\n").find("text after the end") != std::string::npos);
  CHECK(added("head:\n\tbias: true\n") == "f.yaml:4:1: tab character; use spaces");
  CHECK(added("seed: 1\x04 000").starts_with("f.yaml:3:8: control character"));
  CHECK(added("[a, b]: 1").find("keys must be text") != std::string::npos);
}

TEST_CASE("config: not a mapping -> rejected", "[config]") {
  CHECK(mistakes("") == "f.yaml:1:1: the file is empty");
  CHECK(mistakes("# nothing yet\n") == "f.yaml:1:1: the file is empty");
  CHECK(mistakes("- 1") == "f.yaml:1:1: expected a mapping, found a list");
  CHECK(mistakes("run") == "f.yaml:1:1: expected a mapping, found 'run'");
  CHECK(mistakes("{seed: 1} more").find("\nf.yaml:1:11: text after the end") != std::string::npos);
  CHECK(mistakes("seed: 1\nrun: {epochs: 1}}\n") == "f.yaml:2:17: illegal flow end");
  CHECK(mistakes("seed: 1\nrun: {\n  epochs: 1\n") == "f.yaml:4:1: end of map flow not found");
}

TEST_CASE("config: a section with all keys commented out -> defaults", "[config]") {
  CHECK(added("optimizer:\n  # rate: 1\n") == "");
}

int64_t steps(std::string const& written) {
  return parse_experiment("f.yaml", good, {"run.steps=" + written}).run.steps;
}

TEST_CASE("config: whole numbers -> underscores and exponents accepted, other forms rejected",
          "[config]") {
  CHECK(steps("1_000_000") == 1'000'000);
  CHECK(steps("1e6") == 1'000'000);
  CHECK(steps("2.5e+3") == 2500);
  CHECK(steps("9223372036854775807") == std::numeric_limits<int64_t>::max());
  for (std::string const wrong :
       {"1.5",  "64.0", "1.25e1", "1e-1", "1e",  "e3",  ".",   "1e99", "9223372036854775808",
        "1__0", "_1",   "1_",     "+3",   "1 2", "0b1", "0o7", "007",  "-0x1",
        "3k",   "true", "~",      "''",   ".inf"}) {
    INFO(wrong);
    CHECK(mistakes(good, {"run.steps=" + wrong}).starts_with("command line: run.steps: "));
  }
}

double rate(std::string const& written) {
  return parse_experiment("f.yaml", good, {"optimizer.lr=" + written}).optimizer.lr;
}

TEST_CASE("config: numbers -> decimal forms accepted, other forms rejected", "[config]") {
  CHECK(rate("5.0e-4") == 5e-4);
  CHECK(rate("1E-3") == 1e-3);
  CHECK(rate(".5") == 0.5);
  CHECK(rate("3") == 3);
  for (std::string const wrong : {".nan", ".inf", "nan", "inf", "-.inf", "1e999", "1e-999", "01.5",
                                  "0x1p3", "1,5", "'1'", "1..2", "", "{}"}) {
    INFO(wrong);
    CHECK(mistakes(good, {"optimizer.lr=" + wrong}).starts_with("command line: optimizer.lr"));
  }
}

TEST_CASE("config: code points -> U+ and hexadecimal digits, up to U+10FFFF", "[config]") {
  auto const experiment = parse_experiment("f.yaml", good, {"data.glyphs.last=U+20000"});
  CHECK(experiment.data.glyphs.last == 0x20000);
  for (std::string const wrong : {"U+110000", "U+", "0x4E00", "19968", "U+4E0G", "u+4E00"}) {
    INFO(wrong);
    CHECK(mistakes(good, {"data.glyphs.last=" + wrong}) ==
          "command line: data.glyphs.last: expected a code point like U+4E00, found '" + wrong +
              "'");
  }
}

TEST_CASE("config: random edits of a file -> no crash", "[config]") {
  std::string const text = to_yaml(parse_experiment("f.yaml", good));
  std::mt19937 random(1);
  std::string const inserts = "{}[]:,-#&*!|>'\"%@`\n \\01ae~?<\x80\xff";
  for (int i = 0; i < 2000; ++i) {
    std::string changed = text.substr(0, random() % text.size());
    for (size_t edits = 1 + random() % 4; edits > 0 && !changed.empty(); --edits)
      changed.insert(random() % changed.size(), 1, inserts[random() % inserts.size()]);
    mistakes(changed);
  }
}

TEST_CASE("config: deep nesting, many unknown keys -> rejected without delay", "[config]") {
  CHECK(mistakes(std::string(500'000, '[') + '\n').ends_with("nested too deeply"));
  std::string many;
  for (int i = 0; i < 20'000; ++i) many += core::join("k", i, ": 1\n");
  auto const text = mistakes(many);
  CHECK(std::count(text.begin(), text.end(), '\n') > 20'000);
}

}  // namespace
}  // namespace train
