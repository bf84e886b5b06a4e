#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include "tests/train/commands/cli.h"
#include "tests/train/files.h"
#include "train/formats/safetensors.h"

/// Files that commands write, and the benchmark of the head.
namespace train {
namespace {

using tests::colonnade;
using tests::on_two_ranks;
using tests::tiny;

TEST_CASE("export: a run on two ranks -> one file, with which training can start", "[cli]") {
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

TEST_CASE("export: --head-shards 3 -> files with an index, to which classes can be added",
          "[cli]") {
  tests::TemporaryFolder folder;
  auto const file = folder.file("tiny.yaml"), out = folder.file("run");
  auto const weights = folder.file("w.safetensors"), index = weights + ".index.json";
  tests::write_file(file, tiny);
  CHECK(colonnade("train " + file + " run.out=" + out).code == 0);
  auto const ran = colonnade("export " + out + " --head-shards 3 --to " + weights);
  CHECK(ran.code == 0);
  CHECK(ran.out == "step 3, 10 classes: " + index + "\n");
  // conv (2, 1, 3, 3) and its bias, 10 classes of 2 × 2 × 2 features; 4 bytes per number.
  CHECK(nlohmann::json::parse(tests::read_file(index)) ==
        nlohmann::json{{"metadata", {{"total_size", 4 * (18 + 2 + 80)}}},
                       {"weight_map",
                        {{"conv.weight", "w.safetensors"},
                         {"conv.bias", "w.safetensors"},
                         {"fc.weight.00001", "w-00001-of-00003.safetensors"},
                         {"fc.weight.00002", "w-00002-of-00003.safetensors"},
                         {"fc.weight.00003", "w-00003-of-00003.safetensors"}}}});
  CHECK(SafetensorsReader(folder.file("w-00001-of-00003.safetensors"))
            .entry("fc.weight.00001")
            .shape == core::Shape{4, 8});
  auto const grown =
      on_two_ranks("train " + file + " data.classes=13 init.grow_classes=true init.from=" + index +
                   " run.out=" + folder.file("grown"));
  CHECK(grown.code == 0);
  CHECK(grown.says("the classifier of 10 classes; 3 are new"));
}

template <class T>
std::vector<T> values(SafetensorsReader const& file, std::string const& name) {
  std::vector<T> all(file.entry(name).bytes() / sizeof(T));
  file.read(name, all.data(), file.entry(name).bytes());
  return all;
}

TEST_CASE("predict: a run on two ranks -> classes, scores and embeddings match its weights",
          "[cli]") {
  tests::TemporaryFolder folder;
  auto const file = folder.file("tiny.yaml"), out = folder.file("run");
  auto const to = folder.file("classes"), embeddings = folder.file("embeddings");
  tests::write_file(file, tiny);
  CHECK(on_two_ranks("train " + file + " precision=f32 run.out=" + out).code == 0);
  auto const predict = "predict " + out + " --to " + to + " --top 2";
  auto const ran = on_two_ranks(predict + " --split train --embeddings " + embeddings);
  CHECK(ran.code == 0);
  CHECK(ran.out == "step 3, 8 samples of train: " + to + ' ' + embeddings + "\n");
  SafetensorsReader const answers(to), features(embeddings);
  CHECK(answers.entry("classes").shape == core::Shape{8, 2});
  CHECK(features.entry("embeddings").shape == core::Shape{8, 8});
  // The best class has the largest product, computed here from the files.
  CHECK(colonnade("export " + out + " --to " + folder.file("w")).code == 0);
  auto const x = values<float>(features, "embeddings");
  auto const w = values<float>(SafetensorsReader(folder.file("w")), "fc.weight");
  auto const classes = values<int64_t>(answers, "classes");
  auto const scores = values<float>(answers, "scores");
  for (size_t i = 0; i < 8; ++i) {
    std::vector<double> logits(10, 0);
    for (size_t c = 0; c < 10; ++c)
      for (size_t pixel = 0; pixel < 4; ++pixel)  // channels last in embeddings, first in weights
        for (size_t ch = 0; ch < 2; ++ch)
          logits[c] += double{x[8 * i + 2 * pixel + ch]} * double{w[8 * c + 4 * ch + pixel]};
    auto const best = std::max_element(logits.begin(), logits.end());
    CHECK(classes[2 * i] == best - logits.begin());
    CHECK(scores[2 * i] == Approx(*best).epsilon(1e-5));
    CHECK(scores[2 * i + 1] <= scores[2 * i]);
  }
  auto const wrong = colonnade(predict + " --split test");
  CHECK(wrong.code == 2);
  CHECK(wrong.says("--split: no split 'test'; choose from train"));
}

std::string const small_head =
    "bench head --classes 11 --features 3 --batch 5 --steps 2 --device cpu --threads 1 "
    "optimizer.lr=1";

TEST_CASE("bench head: --check -> a file with the steps, the same for 1 and 2 ranks", "[cli]") {
  tests::TemporaryFolder folder;
  auto const one = folder.file("one"), two = folder.file("two");
  CHECK(colonnade(small_head + " --check " + one).code == 0);
  CHECK(on_two_ranks(small_head + " --check " + two).code == 0);
  SafetensorsReader const a(one), b(two);
  CHECK(a.entry("x").shape == core::Shape{5, 3});
  CHECK(a.entry("updated").shape == core::Shape{11, 3});
  for (auto const* drawn : {"x", "weight"}) {
    INFO(drawn);
    CHECK(values<float>(a, drawn) == values<float>(b, drawn));
  }
  CHECK(values<int64_t>(a, "labels") == values<int64_t>(b, "labels"));
  for (auto const* computed : {"losses", "dx", "updated"}) {
    INFO(computed);
    auto const here = values<float>(a, computed), there = values<float>(b, computed);
    REQUIRE(here.size() == there.size());
    for (size_t i = 0; i < here.size(); ++i)
      CHECK(here[i] == Approx(there[i]).epsilon(1e-5).margin(1e-6));
  }
  auto const losses = values<float>(a, "losses");
  CHECK(losses[0] == Approx(std::log(11)).margin(0.1));  // weights are near 0
  CHECK(losses[1] < losses[0]);
  CHECK(values<float>(a, "updated") != values<float>(a, "weight"));
}

TEST_CASE("bench head: stored and recomputed logits -> times, memory and rates as JSON", "[cli]") {
  for (auto const& [logits, products] : {std::pair{"store", 3}, {"recompute", 4}}) {
    auto const ran = on_two_ranks(small_head + " head.chunk=4 head.logits=" + logits);
    CHECK(ran.code == 0);
    auto const begin = ran.out.rfind("\n", ran.out.size() - 2) + 1;
    auto const figures = nlohmann::json::parse(ran.out.substr(begin));
    CHECK(figures["ranks"] == 2);
    CHECK(figures["chunk"] == 4);
    CHECK(figures["logits"] == logits);
    CHECK(figures["ms_of_steps"].size() == 2);
    for (auto const* key : {"ms_a_step", "peak_bytes", "gflops_weights", "share_of_products"})
      CHECK(figures[key].get<double>() > 0);
    double const flops = 2.0 * products * 5 * 6 * 3,
                 seconds = 1e-3 * figures["ms_a_step"].get<double>();
    double const peak = 1e9 * figures["gflops_peak"].get<double>();
    CHECK(figures["share_of_peak"].get<double>() == Approx(flops / peak / seconds));
  }
  CHECK(on_two_ranks("bench head --classes 1").says("2 ranks, but the number of classes is 1"));
}

}  // namespace
}  // namespace train
