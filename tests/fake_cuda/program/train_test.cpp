// The program on the stand-in for CUDA: trained under mpirun, evaluated, and continued elsewhere.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include "tests/train/commands/cli.h"
#include "tests/train/files.h"

namespace {

using tests::TemporaryFolder;

/// Losses differ by rounding alone, which 12 small steps amplify little.
constexpr double rounding = 1e-5;

constexpr int steps = 12;

/// 60 characters in two fonts: 120 images of 16 × 16, so that steps of 32 leave an odd last batch.
std::string const glyphs =
    "precision: f32\n"
    "run: {steps: 12, log_every: 1}\n"
    "data:\n"
    "  kind: glyphs\n"
    "  global_batch_size: 32\n"
    "  augment: {translate: 0.06, rotation: 6}\n"
    "  glyphs:\n"
    "    {classes: 60, size: 16, min_fonts: 2,\n"
    "     train: [{path: wqy-zenhei.ttc}, {path: uming.ttc}], test: [{path: TW-Kai-98_1.ttf}]}\n"
    "model: {trunk: small, width: 8, features: 32}\n"
    "head: {chunk: 16}\n"
    "optimizer: {lr: 1.0e-3, momentum: 0.9}\n"
    "schedule: {kind: constant}\n";

/// An experiment in a folder of its own.
struct Runs {
  TemporaryFolder folder;
  std::string config = folder.file("glyphs.yaml");

  Runs() { tests::write_file(config, glyphs); }

  std::string settings(std::string const& run, std::string const& more) const {
    return config + " run.out=" + folder.file(run) + " data.glyphs.cache=" + folder.file("cache") +
           " " + more;
  }
  tests::Ran on_cpu(std::string const& run, std::string const& more = "") const {
    return tests::on_two_ranks("train " + settings(run, "device=cpu " + more));
  }
  /// `order`: COLONNADE_FAKE_CUDA (tests/support/fake_cuda/fake_cuda.h).
  tests::Ran on_stand_in(std::string const& order, std::string const& run,
                         std::string const& more = "") const {
    return tests::shell("mpirun -x COLONNADE_FAKE_CUDA=" + order + " -n 2 " +
                        COLONNADE_FAKED " train " + settings(run, "device=cuda " + more));
  }

  std::vector<double> losses(std::string const& run) const {
    std::istringstream lines(tests::read_file(folder.file(run) + "/metrics.jsonl"));
    std::vector<double> all;
    for (std::string line; std::getline(lines, line);) {
      auto const entry = nlohmann::json::parse(line);
      if (entry.value("kind", "") == "train") all.push_back(entry.at("loss"));
    }
    return all;
  }
};

void check_succeeded(tests::Ran const& ran) {
  INFO(ran.out);
  CHECK(ran.code == 0);
}

void check_close(std::vector<double> const& some, std::vector<double> const& expected) {
  REQUIRE(some.size() == expected.size());
  for (size_t step = 0; step < some.size(); ++step) {
    INFO("step " << step);
    CHECK(some[step] == Approx(expected[step]).epsilon(rounding));
  }
}

}  // namespace

TEST_CASE("stand-in for CUDA: colonnade train on two ranks -> losses of the CPU") {
  Runs const runs;
  check_succeeded(runs.on_cpu("cpu"));
  auto const expected = runs.losses("cpu");
  REQUIRE(expected.size() == steps);
  check_succeeded(runs.on_stand_in("random:1", "graph", "run.cuda_graph=on"));
  check_close(runs.losses("graph"), expected);
  check_succeeded(runs.on_stand_in("lazy:1", "eager", "run.cuda_graph=off"));
  check_close(runs.losses("eager"), expected);
}

TEST_CASE("stand-in for CUDA: a run continued on the other device -> losses of an unbroken run") {
  Runs const runs;
  check_succeeded(runs.on_cpu("cpu"));
  auto const expected = runs.losses("cpu");
  std::string const first = "checkpoint.every_steps=6 checkpoint.keep_last=9",
                    half = " run.steps=6";

  check_succeeded(runs.on_stand_in("random:2", "there", first + half));
  check_succeeded(runs.on_cpu("there", first + " --resume"));
  check_close(runs.losses("there"), expected);

  check_succeeded(runs.on_cpu("back", first + half));
  check_succeeded(runs.on_stand_in("eager:3", "back", first + " --resume"));
  check_close(runs.losses("back"), expected);
}
