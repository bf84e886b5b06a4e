#include "train/evaluation/evaluate.h"
#include <catch2/catch.hpp>
#include "comm/self.h"
#include "tests/support/device.h"
#include "tests/train/known_model.h"

using core::Dtype;
using tests::known_best;
using tests::known_model;
using tests::known_split;
using train::Experiment;
using train::Prediction;

namespace {

Experiment in_batches_of(int64_t rows) {
  Experiment experiment;
  experiment.data.global_batch_size = rows;
  return experiment;
}

}  // namespace

TEST_CASE("evaluate: known model -> known scores, every sample passed once in order") {
  core::Device& device = tests::device();
  comm::Self self;
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  auto const batch = GENERATE(1, 7, 24, 100);
  auto model = known_model(device, self, dtype);
  std::vector<Prediction> seen;
  auto const score = evaluate(model, known_split(24), in_batches_of(batch), device, self,
                              [&](Prediction const& p) { seen.push_back(p); });
  CHECK(score.split == "known");
  CHECK(score.samples == 24);
  CHECK(score.top1 == 1.0 / 8);  // labels have ranks 0 to 7 in turn, three times
  CHECK(score.top5 == 5.0 / 8);
  REQUIRE(seen.size() == 24);
  for (int64_t i = 0; i < 24; ++i) {
    auto const& p = seen[static_cast<size_t>(i)];
    CHECK(p.sample == i);
    CHECK(p.label == known_best(i, 3 * i % 8));
    REQUIRE(p.best.size() == 5);
    for (int64_t place = 0; place < 5; ++place)
      CHECK(p.best[static_cast<size_t>(place)] == known_best(i, place));
  }
}

TEST_CASE("evaluate: empty split -> scores 0; no callback -> scores") {
  core::Device& device = tests::device();
  comm::Self self;
  auto model = known_model(device, self);
  auto const none = evaluate(model, known_split(0), in_batches_of(4), device, self);
  CHECK(none.samples == 0);
  CHECK(none.top1 == 0);
  CHECK(evaluate(model, known_split(8), in_batches_of(4), device, self).top5 == 5.0 / 8);
}

TEST_CASE("evaluate: ignored labels -> samples left out") {
  core::Device& device = tests::device();
  comm::Self self;
  auto model = known_model(device, self);
  auto const batch = GENERATE(1, 3, 100);
  auto const all = known_split(24);
  std::vector<float> pixels;
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < 24; ++i) {  // of every three samples, the middle one is ignored
    pixels.resize(pixels.size() + 8);
    all.data->read(i, &*pixels.end() - 8);
    labels.push_back(i % 3 == 1 ? train::Dataset::ignored : all.data->label(i));
  }
  auto const split =
      tests::make_split("some", tests::known_shape, std::move(pixels), std::move(labels));
  std::vector<int64_t> seen;
  auto const score = evaluate(model, split, in_batches_of(batch), device, self,
                              [&](Prediction const& p) { seen.push_back(p.sample); });
  CHECK(score.samples == 16);
  CHECK(score.top1 == 2.0 / 16);  // rank (3 i) mod 8 is 0 for i = 0, 8 and 16; 16 is ignored
  CHECK(seen == std::vector<int64_t>{0, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18, 20, 21, 23});
}

TEST_CASE("evaluate: images -> normalized, not augmented") {
  core::Device& device = tests::device();
  comm::Self self;
  auto model = known_model(device, self);
  auto experiment = in_batches_of(5);
  experiment.data.std = {-1};  // reverses the order of the classes
  experiment.data.augment.horizontal_flip = true;
  experiment.data.augment.noise_std = 100;
  evaluate(model, known_split(8), experiment, device, self, [](Prediction const& p) {
    for (int64_t place = 0; place < 5; ++place)
      CHECK(p.best[static_cast<size_t>(place)] == known_best(p.sample, 7 - place));
  });
}

TEST_CASE("evaluate: fewer than five classes -> all classes in the prediction") {
  core::Device& device = tests::device();
  comm::Self self;
  auto head = std::make_unique<layers::ShardedHead>(
      layers::Context{device}, self, layers::ShardedHead::Options{.classes = 3, .features = 8});
  train::Model model{Dtype::f32, nullptr, std::make_unique<tests::PixelTrunk>(), std::move(head)};
  auto const split =
      tests::make_split("few", tests::known_shape, std::vector<float>(16, 0.5f), {0, 2});
  auto const score = evaluate(model, split, in_batches_of(2), device, self,
                              [](Prediction const& p) { CHECK(p.best.size() == 3); });
  CHECK(score.top5 == 1);
}
