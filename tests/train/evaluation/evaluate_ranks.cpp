#include "comm/self.h"
#include "tests/support/ranks.h"
#include "tests/support/reference.h"
#include "tests/train/known_model.h"
#include "train/evaluation/evaluate.h"
#include "train/report/picture.h"

using core::Dtype;
using tests::device;
using tests::known_best;
using tests::known_model;
using tests::known_split;
using tests::world;
using train::Prediction;

TEST_CASE("evaluate: any number of ranks -> same scores, each sample on one rank", "[ranks]") {
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  // The last batch has 3, 2, 1 or 24 rows, in some cases fewer than ranks.
  auto const batch = GENERATE(7, 11, 23, 100);
  auto model = known_model(device(), world(), dtype);
  train::Experiment experiment;
  experiment.data.global_batch_size = batch;
  std::vector<double> mine(24, 0);
  auto const score =
      evaluate(model, known_split(24), experiment, device(), world(), [&](Prediction const& p) {
        ++mine[static_cast<size_t>(p.sample)];
        CHECK(p.best.front() == known_best(p.sample, 0));
        CHECK(p.label == known_best(p.sample, 3 * p.sample % 8));
      });
  CHECK(score.samples == 24);
  CHECK(score.top1 == 1.0 / 8);
  CHECK(score.top5 == 5.0 / 8);
  auto seen = tests::tensor<int64_t>(device(), {24}, mine);
  world().all_reduce(seen, comm::Reduce::sum)->wait();
  CHECK(tests::values(seen) == std::vector<double>(24, 1));
}

TEST_CASE("nearest_neighbour: any number of ranks -> same scores", "[ranks]") {
  auto const samples = GENERATE(0, 1, 3, 31);  // some ranks have no samples
  // Points on a line, exact in f32; two per class.
  std::vector<float> images, points;
  std::vector<int64_t> classes, labels;
  for (int64_t i = 0; i < 20; ++i) {
    images.push_back(static_cast<float>(i * 7 % 20));
    classes.push_back(i % 10);
  }
  for (int64_t i = 0; i < samples; ++i) {
    points.push_back(static_cast<float>(i) * 0.625f);
    labels.push_back(i * 3 % 10);
  }
  auto const train = tests::make_split("train", {1, 1, 1}, images, classes);
  auto const split = tests::make_split("test", {1, 1, 1}, points, labels);
  comm::Self self;
  auto const alone = nearest_neighbour(train, split, device(), self);
  auto const shared = nearest_neighbour(train, split, device(), world());
  CHECK(shared.samples == samples);
  CHECK(shared.top1 == alone.top1);
  CHECK(shared.top5 == alone.top5);
  if (samples == 31) {
    CHECK(alone.top1 > 0);
    CHECK(alone.top5 < 1);
  }
}

TEST_CASE("SampleDraw::gather: predictions on different ranks -> all, in the order of the draw",
          "[ranks]") {
  auto const split = known_split(24);
  auto model = known_model(device(), world());
  train::Experiment experiment;
  experiment.data.global_batch_size = 7;
  train::SampleDraw draw(split, 10, 5);
  evaluate(model, split, experiment, device(), world(), [&](Prediction const& p) { draw.see(p); });
  auto const shown = draw.gather(device(), world());
  REQUIRE(shown.size() == 10);
  for (size_t i = 0; i < shown.size(); ++i) {
    auto const& p = shown[i].prediction;
    CHECK(shown[i].split == &split);
    CHECK(p.sample == draw.samples()[i]);
    CHECK(p.label == known_best(p.sample, 3 * p.sample % 8));
    REQUIRE(p.best.size() == 5);
    for (int64_t place = 0; place < 5; ++place)
      CHECK(p.best[static_cast<size_t>(place)] == known_best(p.sample, place));
  }
}
