#include "tests/train/commands/cli.h"
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>
#include "tests/train/files.h"
#include "train/config/experiment.h"
#include "train/formats/safetensors.h"

namespace train {
namespace {

using tests::colonnade;
using tests::on_two_ranks;
using tests::tiny;

std::string const broken =
    "run: {epochs: many}\n"
    "data: {global_batch_size: 4, classes: 10, samples: 100}\n"
    "optimiser: {rate: 1}\n";

TEST_CASE("colonnade: --help and --version -> commands, options, version", "[cli]") {
  auto const help = colonnade("--help");
  CHECK(help.code == 0);
  for (auto const* command : {"train", "eval", "predict", "export", "plan", "config", "mpirun -n"})
    CHECK(help.says(command));
  auto const train = colonnade("train --help");
  CHECK(train.code == 0);
  for (auto const* option :
       {"--resume", "--overwrite", "--profile", "KEY=VALUE", "colonnade config"})
    CHECK(train.says(option));
  CHECK(colonnade("eval --help").says("--baseline"));
  CHECK(colonnade("export --help").says("--to FILE"));
  auto const version = colonnade("--version");
  CHECK(version.code == 0);
  CHECK(version.out.starts_with("colonnade 0."));
}

TEST_CASE("colonnade: invalid command lines -> exit code 2, and a pointer to --help", "[cli]") {
  for (std::string const arguments :
       {"", "frain", "train", "train a.yaml --fast", "train a.yaml --resume --overwrite", "eval",
        "export", "export run", "export run --to a --head-shards 0", "predict run",
        "predict run --to a --top 0", "config more", "bench", "bench tail",
        "bench head --precision f16", "bench head --classes 0", "plan", "plan a.yaml --ranks 0",
        "plan a.yaml --classes 0"}) {
    INFO(arguments);
    auto const ran = colonnade(arguments);
    CHECK(ran.code == 2);
    CHECK(ran.says("--help"));
  }
}

TEST_CASE("plan: an experiment -> memory, traffic and time; exit code 71 if it does not fit",
          "[cli]") {
  tests::TemporaryFolder folder;
  auto const file = folder.file("tiny.yaml");
  tests::write_file(file, tiny);
  auto const ran = colonnade("plan " + file +
                             " --ranks 3 --memory 1MB --flops 1T --bandwidth 1GB --network 1GB");
  CHECK(ran.code == 0);
  for (auto const* text :
       {"3 ranks, 10 classes, batch 4", "head weights", "trunk activations", "it fits into 1.00 MB",
        "trunk gradients, all_reduce", "communication beside the kernels"})
    CHECK(ran.says(text));

  auto const large =
      colonnade("plan " + file + " --memory 50MB --classes 1000000 --flops 1T --bandwidth 1GB");
  CHECK(large.code == 71);
  for (auto const* text : {"does NOT fit into 50.0 MB", "head.storage=bf16", "--ranks 2"})
    CHECK(large.says(text));
  auto const both = on_two_ranks("plan " + file + " --flops 1T --bandwidth 1GB");
  CHECK(both.code == 0);
  CHECK(both.out.find("1 rank, 10 classes") == both.out.rfind("1 rank, 10 classes"));
}

TEST_CASE("plan: invalid options, settings or files -> exit code and reason", "[cli]") {
  tests::TemporaryFolder folder;
  auto const file = folder.file("tiny.yaml");
  tests::write_file(file, tiny);
  auto const unit = colonnade("plan " + file + " --memory 141XB");
  CHECK(unit.code == 2);
  CHECK(unit.says("--memory: '141XB'; expected a positive number"));
  auto const ranks = colonnade("plan " + file + " --ranks 11");
  CHECK(ranks.code == 2);
  CHECK(ranks.says("11 ranks, but the number of classes is 10"));
  CHECK(colonnade("plan " + file + " optimizer.rat=1").code == 2);
  CHECK(colonnade("plan no/such.yaml").code == 66);
}

TEST_CASE("config: no arguments -> the reference of all keys", "[cli]") {
  auto const ran = colonnade("config");
  CHECK(ran.code == 0);
  CHECK(ran.out == configuration_reference());
}

TEST_CASE("colonnade: missing files -> exit code 66", "[cli]") {
  auto const config = colonnade("train no/such.yaml");
  CHECK(config.code == 66);
  CHECK(config.out == "colonnade: error: cannot read the experiment file no/such.yaml\n");
  tests::TemporaryFolder empty;
  CHECK(colonnade("eval " + empty.path().string()).code == 66);
}

TEST_CASE("train: several errors in a configuration -> all printed, one per line", "[cli]") {
  tests::TemporaryFolder folder;
  auto const file = folder.file("broken.yaml");
  tests::write_file(file, broken);
  auto const ran = colonnade("train " + file + " seed=x data.kind=safetensors");
  CHECK(ran.code == 2);
  CHECK(ran.out == "colonnade: error: 4 errors\n" + file +
                       ":1:15: run.epochs: expected a whole number, found 'many'\n" + file +
                       ":2:1: data.path: required: the safetensors file with the images\n" + file +
                       ":3:1: optimiser: unknown key; did you mean 'optimizer'?\n"
                       "command line: seed: expected a whole number, found 'x'\n");
}

TEST_CASE("train: the same configuration error on two ranks -> printed once", "[cli]") {
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

TEST_CASE("train: more ranks than classes -> exit code 2", "[cli]") {
  tests::TemporaryFolder folder;
  tests::write_file(folder.file("tiny.yaml"), tiny);
  auto const ran = on_two_ranks("train " + folder.file("tiny.yaml") +
                                " data.classes=1 run.out=" + folder.file("run"));
  CHECK(ran.code == 2);
  CHECK(
      ran.says("2 ranks, but the number of classes is 1: a rank would hold none; start at most 1"));
}

TEST_CASE("train: every experiment in configs/ -> completes a step", "[cli]") {
  tests::TemporaryFolder folder;
  // Most word lists are large, and not in a package that the tests require.
  tests::write_file(folder.file("words"), "alpha\nbeta\ngamma\ndelta\n");
  for (auto const& entry :
       std::filesystem::directory_iterator(tests::source_folder() + "/configs")) {
    auto const name = entry.path().stem().string();
    if (name == "own_images") continue;  // tests/parity/pack_images_test.py packs images for it
    INFO(name);
    std::string const held_out =
        name.starts_with("glyphs") ? " 'data.glyphs.test=[]'"
        : name.starts_with("words")
            ? " 'data.words.test=[]' data.words.classes=4 'data.words.lists=[" +
                  folder.file("words") + "]'"
            : "";
    auto const size = name.find("resnet") == std::string::npos ? "" : " data.classes=1000";
    auto const ran =
        colonnade("train " + entry.path().string() + " run.epochs=0 run.steps=1" +
                  " schedule.warmup_steps=0 data.global_batch_size=4 run.out=" + folder.file(name) +
                  held_out + size);
    CHECK(ran.code == 0);
    CHECK(ran.says("step 1/1"));
  }
}

TEST_CASE(
    "train: an existing run -> kept by default, --resume continues it, --overwrite replaces it",
    "[cli]") {
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

TEST_CASE("train: --profile -> table of phases, and of bytes sent on several ranks", "[cli]") {
  tests::TemporaryFolder folder;
  auto const file = folder.file("tiny.yaml");
  tests::write_file(file, tiny);
  auto const train = "train " + file + " --overwrite run.out=" + folder.file("run");
  auto const two = on_two_ranks(train + " --profile");
  INFO(two.out);
  CHECK(two.code == 0);
  CHECK(two.says("trunk forward"));
  // Each rank sends the other its two labels of 8 bytes.
  CHECK(two.says("labels              all_gather             1.0            16.0            16.0"));
  auto const one = colonnade(train + " --profile");
  CHECK(one.says("trunk forward"));
  CHECK_FALSE(one.says("all_gather"));
  CHECK_FALSE(on_two_ranks(train).says("trunk forward"));
}

TEST_CASE("train: an error on all ranks -> printed once, with its exit code", "[cli]") {
  tests::TemporaryFolder folder;
  auto const file = folder.file("arrays.yaml");
  tests::write_file(
      file,
      "run: {epochs: 1}\ndata: {kind: safetensors, global_batch_size: 4, path: no-such-file}\n");
  auto const ran = on_two_ranks("train " + file + " run.out=" + folder.file("run"));
  CHECK(ran.code == 66);
  auto const message = ran.out.find("no-such-file");
  CHECK(message != std::string::npos);
  CHECK(ran.out.find("no-such-file", message + 1) == std::string::npos);
}

}  // namespace

TEST_CASE("train: cuda_graph: on, but steps cannot be captured -> exit code 2, no run folder",
          "[cli]") {
  tests::TemporaryFolder folder;
  auto const file = folder.file("tiny.yaml"), out = folder.file("run");
  tests::write_file(file, tiny);
  auto const ran = colonnade("train " + file + " device=cpu run.cuda_graph=on run.out=" + out);
  CHECK(ran.code == 2);
  CHECK(ran.says("run.cuda_graph: on, but steps cannot be captured: the device executes eagerly"));
  CHECK(!std::filesystem::exists(out));
}

}  // namespace train
