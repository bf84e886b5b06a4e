#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>
#include <sys/wait.h>
#include "tests/support/paths.h"
#include "tests/train/files.h"
#include "train/experiment.h"

namespace train {
namespace {

/// What a command printed, on both of its streams, and its exit code.
struct Ran {
  int code;
  std::string out;
  bool says(std::string const& text) const { return out.find(text) != std::string::npos; }
};

Ran shell(std::string const& command) {
  std::FILE* const pipe = popen((command + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  Ran ran{-1, ""};
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) ran.out += static_cast<char>(c);
  int const status = pclose(pipe);
  if (WIFEXITED(status)) ran.code = WEXITSTATUS(status);
  return ran;
}

Ran colonnade(std::string const& arguments) { return shell(tests::program() + " " + arguments); }

Ran on_two_ranks(std::string const& arguments) {
  return shell("mpirun -n 2 " + tests::program() + " " + arguments);
}

std::string const broken =
    "run: {epochs: many}\n"
    "data: {batch: 4, classes: 10, samples: 100}\n"
    "optimiser: {rate: 1}\n";

std::string const tiny =
    "run: {steps: 3, log_every: 1}\n"
    "data: {batch: 4, classes: 10, samples: 8, height: 8, width: 8, channels: 1}\n"
    "model: {trunk: conv, width: 2, stride: 4}\n";

TEST_CASE("help and version", "[cli]") {
  auto const help = colonnade("--help");
  CHECK(help.code == 0);
  for (auto const* command : {"train", "eval", "export", "config", "mpirun -n"})
    CHECK(help.says(command));
  auto const train = colonnade("train --help");
  CHECK(train.code == 0);
  for (auto const* option : {"--resume", "--overwrite", "KEY=VALUE", "colonnade config"})
    CHECK(train.says(option));
  CHECK(colonnade("eval --help").says("--baseline"));
  CHECK(colonnade("export --help").says("--to FILE"));
  auto const version = colonnade("--version");
  CHECK(version.code == 0);
  CHECK(version.out.starts_with("colonnade 0."));
}

TEST_CASE("a command line that is not understood", "[cli]") {
  for (std::string const arguments :
       {"", "frain", "train", "train a.yaml --fast", "train a.yaml --resume --overwrite", "eval",
        "export", "export run", "config more"}) {
    INFO(arguments);
    auto const ran = colonnade(arguments);
    CHECK(ran.code == 2);
    CHECK(ran.says("--help"));
  }
}

TEST_CASE("`config` prints the reference", "[cli]") {
  auto const ran = colonnade("config");
  CHECK(ran.code == 0);
  CHECK(ran.out == configuration_reference());
}

TEST_CASE("files that are not there", "[cli]") {
  auto const config = colonnade("train no/such.yaml");
  CHECK(config.code == 66);
  CHECK(config.out == "colonnade: error: cannot read the experiment file no/such.yaml\n");
  tests::TemporaryFolder empty;
  CHECK(colonnade("eval " + empty.path().string()).code == 66);
}

TEST_CASE("all mistakes of a configuration are told, one a line", "[cli]") {
  tests::TemporaryFolder folder;
  auto const file = folder.file("broken.yaml");
  tests::write_file(file, broken);
  auto const ran = colonnade("train " + file + " seed=x data.kind=arrays");
  CHECK(ran.code == 2);
  CHECK(ran.out == "colonnade: error: 4 mistakes\n" + file +
                       ":1:15: run.epochs: expected a whole number, found 'many'\n" + file +
                       ":2:1: data.path: missing: the safetensors file with the images\n" + file +
                       ":3:1: optimiser: unknown key; did you mean 'optimizer'?\n"
                       "command line: seed: expected a whole number, found 'x'\n");
}

TEST_CASE("ranks that make the same mistake tell it once", "[cli]") {
  tests::TemporaryFolder folder;
  auto const file = folder.file("broken.yaml");
  tests::write_file(file, broken);
  for (int i = 0; i < 5; ++i) {
    auto const ran = on_two_ranks("train " + file);
    CHECK(ran.code == 2);
    auto const mistake = ran.out.find("run.epochs: expected");
    CHECK(mistake != std::string::npos);
    CHECK(ran.out.find("run.epochs: expected", mistake + 1) == std::string::npos);
  }
}

TEST_CASE("more ranks than classes", "[cli]") {
  tests::TemporaryFolder folder;
  tests::write_file(folder.file("tiny.yaml"), tiny);
  auto const ran = on_two_ranks("train " + folder.file("tiny.yaml") +
                                " data.classes=1 run.out=" + folder.file("run"));
  CHECK(ran.code == 2);
  CHECK(ran.says("2 ranks for 1 classes"));
}

TEST_CASE("every experiment of configs/ trains a step", "[cli]") {
  tests::TemporaryFolder folder;
  for (auto const& entry :
       std::filesystem::directory_iterator(tests::source_folder() + "/configs")) {
    auto const name = entry.path().stem().string();
    INFO(name);
    auto const held_out = name.starts_with("glyphs") ? " 'data.glyphs.test=[]'" : "";
    auto const size = name.find("resnet") == std::string::npos ? "" : " data.classes=1000";
    auto const ran = colonnade(
        "train " + entry.path().string() + " run.epochs=0 run.steps=1" +
        " schedule.warmup_steps=0 data.batch=4 run.out=" + folder.file(name) + held_out + size);
    CHECK(ran.code == 0);
    CHECK(ran.says("step 1/1"));
  }
}

TEST_CASE("a run is trained, kept, continued and replaced", "[cli]") {
  tests::TemporaryFolder folder;
  auto const file = folder.file("tiny.yaml"), out = folder.file("run");
  tests::write_file(file, tiny);
  auto const train = "train " + file + " run.out=" + out;
  auto const first = colonnade(train);
  INFO(first.out);
  CHECK(first.code == 0);
  std::istringstream metrics(tests::read_file(out + "/metrics.jsonl"));
  int64_t step = 0;
  for (std::string line; std::getline(metrics, line);) {
    auto const entry = nlohmann::json::parse(line);
    if (entry["kind"] == "train") CHECK(entry["step"] == ++step);
  }
  CHECK(step == 3);
  CHECK(read_experiment(out + "/config.yaml") == read_experiment(file, {"run.out=" + out}));

  auto const again = colonnade(train);
  CHECK(again.code == 2);
  CHECK(again.says("--resume"));
  CHECK(colonnade(train + " --resume run.steps=5").code == 0);
  CHECK(tests::read_file(out + "/metrics.jsonl").find("\"step\":5") != std::string::npos);
  CHECK(colonnade(train + " --overwrite").code == 0);
  CHECK(tests::read_file(out + "/metrics.jsonl").find("\"step\":5") == std::string::npos);
}

TEST_CASE("weights are exported and begun with", "[cli]") {
  tests::TemporaryFolder folder;
  auto const file = folder.file("tiny.yaml"), out = folder.file("run");
  auto const weights = folder.file("weights.safetensors");
  tests::write_file(file, tiny);
  auto const exported = "export " + out + " --to " + weights;
  CHECK(colonnade(exported).code == 66);
  CHECK(on_two_ranks("train " + file + " run.out=" + out).code == 0);
  auto const none = colonnade(exported + " --checkpoint 2");
  CHECK(none.code == 66);
  CHECK(none.says("has no checkpoint of step 2"));
  CHECK_FALSE(std::filesystem::exists(weights));

  auto const ran = on_two_ranks(exported);
  CHECK(ran.code == 0);
  CHECK(ran.out == "step 3, 10 classes: " + weights + "\n");
  CHECK_FALSE(std::filesystem::exists(weights + ".partial"));
  auto const begun =
      colonnade("train " + file + " --overwrite run.out=" + out + " init.from=" + weights);
  CHECK(begun.code == 0);
  CHECK(begun.says("weights from " + weights + ": the trunk and the classifier"));
  CHECK(colonnade(exported + "/nowhere/w.safetensors").code == 74);

  auto const manifest = out + "/checkpoints/step-00000003/manifest.json";
  auto bytes = tests::read_file(manifest);
  bytes[bytes.find("classes")] = 'k';
  tests::write_file(manifest, bytes);
  auto const damaged = colonnade(exported);
  CHECK(damaged.code == 65);
  CHECK(damaged.says("passed over a damaged checkpoint: " + manifest));
}

TEST_CASE("what goes wrong on all ranks is told once, with its exit code", "[cli]") {
  tests::TemporaryFolder folder;
  auto const file = folder.file("arrays.yaml");
  tests::write_file(file, "run: {epochs: 1}\ndata: {kind: arrays, batch: 4, path: no-such-file}\n");
  auto const ran = on_two_ranks("train " + file + " run.out=" + folder.file("run"));
  CHECK(ran.code == 66);
  auto const message = ran.out.find("no-such-file");
  CHECK(message != std::string::npos);
  CHECK(ran.out.find("no-such-file", message + 1) == std::string::npos);
}

}  // namespace

TEST_CASE("steps that must be recorded and cannot be are refused, and leave nothing", "[cli]") {
  tests::TemporaryFolder folder;
  auto const file = folder.file("tiny.yaml"), out = folder.file("run");
  tests::write_file(file, tiny);
  auto const ran = colonnade("train " + file + " device=cpu run.cuda_graph=on run.out=" + out);
  CHECK(ran.code == 2);
  CHECK(
      ran.says("run.cuda_graph: on, but steps cannot be recorded: this device runs work at once"));
  CHECK(!std::filesystem::exists(out));
}

}  // namespace train
