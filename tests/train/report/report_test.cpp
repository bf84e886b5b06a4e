#include "train/report/report.h"
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>
#include "tests/train/files.h"
#include "train/errors.h"

namespace train {
namespace {

using nlohmann::json;

/// A report into a temporary folder, with its console output.
struct Captured {
  tests::TemporaryFolder folder;
  std::string metrics = folder.file("metrics.jsonl");
  std::ostringstream out;

  Report report(bool terminal = false) { return Report(metrics, Console{out, terminal}); }
  std::vector<json> lines() const {
    std::istringstream file(tests::read_file(metrics));
    std::vector<json> all;
    for (std::string line; std::getline(file, line);) all.push_back(json::parse(line));
    return all;
  }
};

RunFacts const facts{.out = "runs/a",
                     .device = "CPU",
                     .precision = "f32",
                     .ranks = 2,
                     .image = {112, 112, 3},
                     .classes = 10,
                     .samples = 100,
                     .steps = 20,
                     .steps_per_epoch = 10};

TEST_CASE("Report::step: logged step -> one line of JSON in full precision", "[report]") {
  Captured captured;
  auto report = captured.report();
  report.begin(facts);
  double const loss = static_cast<double>(7.123456789F);
  report.step({.step = 1, .epoch = 0, .loss = loss, .lr = 0.1});
  auto const text = tests::read_file(captured.metrics);
  CHECK(text.starts_with(R"({"kind":"train","step":1,"epoch":0,"loss":7.12345)"));
  CHECK(text.ends_with("}\n"));
  auto const line = captured.lines().at(0);
  CHECK(line["loss"].get<double>() == loss);
  CHECK(line["lr"].get<double>() == 0.1);
  CHECK(line["samples_per_s"].get<double>() == 0);
}

TEST_CASE("Report::step: each call -> line is in the file on return", "[report]") {
  Captured captured;
  auto report = captured.report();
  report.begin(facts);
  for (int64_t step = 1; step <= 3; ++step) {
    report.step({.step = step, .epoch = 0, .loss = 1, .lr = 1});
    CHECK(captured.lines().size() == static_cast<size_t>(step));
  }
}

TEST_CASE("Report: score and note -> one line each", "[report]") {
  Captured captured;
  auto report = captured.report();
  report.begin(facts);
  report.score(10, 0, {.split = "WQY \"Zen\" Hei", .samples = 20902, .top1 = 0.97, .top5 = 0.99});
  report.note("something");
  auto const lines = captured.lines();
  REQUIRE(lines.size() == 2);
  CHECK(lines[0] == json{{"kind", "eval"},
                         {"step", 10},
                         {"epoch", 0},
                         {"split", "WQY \"Zen\" Hei"},
                         {"top1", 0.97},
                         {"top5", 0.99},
                         {"samples", 20902}});
  CHECK(lines[1]["text"] == "something");
  CHECK(captured.out.str().find("  WQY \"Zen\" Hei: top-1 97.00 %, top-5 99.00 % of 20902\n") !=
        std::string::npos);
}

TEST_CASE("Report::score: name is not UTF-8 -> replacement character, no error", "[report]") {
  Captured captured;
  auto report = captured.report();
  report.begin(facts);
  report.score(1, 0, {.split = "a\xff", .samples = 1, .top1 = 0, .top5 = 0});
  CHECK(captured.lines().at(0)["split"] == "a\uFFFD");
}

TEST_CASE("Report::step: loss is NaN -> null", "[report]") {
  Captured captured;
  auto report = captured.report();
  report.begin(facts);
  report.step({.step = 1, .epoch = 0, .loss = NAN, .lr = 1});
  CHECK(captured.lines().at(0)["loss"].is_null());
}

TEST_CASE("Report: resumed run -> later lines and an incomplete line are removed", "[report]") {
  Captured captured;
  std::string const kept =
      "{\"kind\":\"train\",\"step\":1}\n{\"kind\":\"train\",\"step\":2}\n{\"kind\":\"eval\","
      "\"step\":2}\n";
  tests::write_file(captured.metrics, kept + "{\"step\":3}\n{\"kind\":\"tra");
  auto resumed = facts;
  resumed.first_step = 2;
  auto report = captured.report();
  report.begin(resumed);
  CHECK(tests::read_file(captured.metrics) == kept);
  report.step({.step = 3, .epoch = 0, .loss = 1, .lr = 1});
  CHECK(captured.lines().size() == 4);
  CHECK(captured.out.str().find("resumed after step 2") != std::string::npos);
}

TEST_CASE("Report: samples_per_s -> excludes paused time", "[report]") {
  Captured captured;
  auto report = captured.report();
  report.begin(facts);
  report.resume();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  report.trained(50);
  report.pause();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  report.resume();
  report.trained(50);
  report.step({.step = 2, .epoch = 0, .loss = 1, .lr = 1});
  auto const speed = captured.lines().at(0)["samples_per_s"].get<double>();
  CHECK(speed < 100 / 0.020);
  CHECK(speed > 100 / 0.100);
}

TEST_CASE("Report::begin -> folder, data, ranks and steps", "[report]") {
  Captured captured;
  auto report = captured.report();
  report.begin(facts);
  CHECK(captured.out.str() ==
        "run runs/a: 10 classes, 100 training images of 112 x 112 x 3\n"
        "2 ranks: CPU, f32; 20 steps, 10 per epoch\n");
}

TEST_CASE("Report: output is not a terminal -> a plain line per step", "[report]") {
  Captured captured;
  auto report = captured.report();
  report.begin(facts);
  report.step({.step = 11,
               .epoch = 1,
               .loss = 2.5,
               .mean_loss = 2.75,
               .lr = 0.25,
               .memory = 5'640'000'000});
  CHECK(captured.out.str().find(
            "\nepoch 2/2  step 11/20  loss 2.5000 (mean 2.7500)  lr 0.25  0 images/s  "
            "0 % waiting for data  5.6 GB  ") != std::string::npos);
  CHECK(captured.out.str().find('\r') == std::string::npos);
  CHECK(captured.out.str().ends_with('\n'));
}

TEST_CASE("Report: waited -> share of the training time", "[report]") {
  Captured captured;
  auto report = captured.report();
  report.begin(facts);
  report.resume();
  std::this_thread::sleep_for(std::chrono::milliseconds(40));
  report.waited(0.010);
  report.step({.step = 1, .epoch = 0, .loss = 1, .lr = 1});
  auto const share = captured.lines().at(0)["data_wait"].get<double>();
  CHECK(share > 0);
  CHECK(share <= 0.25);
  report.waited(1000);
  report.step({.step = 2, .epoch = 0, .loss = 1, .lr = 1});
  CHECK(captured.lines().at(1)["data_wait"] == 1);  // never above 1
}

TEST_CASE("Report::end -> steps, best score of the first split, folder", "[report]") {
  Captured captured;
  auto report = captured.report();
  report.begin(facts);
  report.step({.step = 20, .epoch = 1, .loss = 1, .lr = 1});
  report.score(10, 0, {.split = "a", .samples = 1, .top1 = 0.9, .top5 = 1});
  report.score(10, 0, {.split = "b", .samples = 1, .top1 = 1, .top5 = 1});
  report.score(20, 1, {.split = "a", .samples = 1, .top1 = 0.8, .top5 = 1});
  report.end();
  CHECK(captured.out.str().ends_with(
      "\ndone: 20 steps in 0s; best: a top-1 90.00 % at step 10; runs/a\n"));
}

TEST_CASE("Report::end: resumed run -> its own steps, and all of them", "[report]") {
  Captured captured;
  auto resumed = facts;
  resumed.first_step = 15;
  auto report = captured.report();
  report.begin(resumed);
  report.step({.step = 20, .epoch = 1, .loss = 1, .lr = 1});
  report.end();
  CHECK(captured.out.str().ends_with("\ndone: 5 steps in 0s, 20 in all; runs/a\n"));
}

TEST_CASE("Report: terminal -> one line redrawn, ended by the destructor", "[report]") {
  Captured captured;
  {
    auto report = captured.report(true);
    report.begin(facts);
    report.step({.step = 1, .epoch = 0, .loss = 2.5, .lr = 0.25});
    CHECK_FALSE(captured.out.str().ends_with('\n'));
    report.score(1, 0, {.split = "test", .samples = 1, .top1 = 0, .top5 = 1});
    CHECK(captured.out.str().find("\r\033[K  test: top-1") != std::string::npos);
    report.step({.step = 2, .epoch = 0, .loss = 2.5, .lr = 0.25});
  }
  CHECK(captured.out.str().ends_with('\n'));
}

TEST_CASE("Report: no output stream -> no output and no file", "[report]") {
  tests::TemporaryFolder folder;
  Report report(folder.file("metrics.jsonl"), std::nullopt);
  report.begin(facts);
  report.step({.step = 1, .epoch = 0, .loss = 1, .lr = 1});
  report.score(1, 0, {.split = "test", .samples = 1, .top1 = 0, .top5 = 1});
  report.note("unheard");
  CHECK_FALSE(std::filesystem::exists(folder.file("metrics.jsonl")));
}

TEST_CASE("Report: metrics file cannot be written -> IoError", "[report]") {
  std::ostringstream out;
  Report report("no/such/folder/metrics.jsonl", Console{out});
  report.begin(facts);
  CHECK_THROWS_AS(report.note("lost"), IoError);
}

TEST_CASE("score_table: scores, with or without a comparison -> table", "[report]") {
  std::vector<Score> const scores{{"WQY Zen Hei", 20902, 0.9731, 0.99}, {"Kai", 5, 1, 1}};
  CHECK(score_table(scores) ==
        "split          samples      top-1      top-5\n"
        "WQY Zen Hei      20902    97.31 %    99.00 %\n"
        "Kai                  5   100.00 %   100.00 %");
  CHECK(score_table(scores, {{"WQY Zen Hei", 20902, 0.768, 0.916}, {"Kai", 5, 0, 0.5}}, "pixels") ==
        "split          samples      top-1      top-5    pixels: top-1, top-5\n"
        "WQY Zen Hei      20902    97.31 %    99.00 %        76.80 %    91.60 %\n"
        "Kai                  5   100.00 %   100.00 %         0.00 %    50.00 %");
}

}  // namespace
}  // namespace train
