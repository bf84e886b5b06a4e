#include <catch2/catch.hpp>
#include <set>
#include "train/data/dataset.h"
#include "train/errors.h"

namespace {

train::DataConfig config() {
  train::DataConfig config;
  config.kind = train::DataKind::synthetic;
  config.classes = 1'000'000;
  config.samples = 257;
  return config;
}

std::vector<float> pixels(train::Dataset const& data, int64_t index) {
  std::vector<float> pixels(static_cast<size_t>(data.shape().count()));
  data.read(index, pixels.data());
  return pixels;
}

}  // namespace

TEST_CASE("synthetic: images -> configured shape, uniform pixels, all distinct") {
  train::Task const task = train::open_task(config(), 1);
  train::Dataset const& data = *task.train.data;
  CHECK(task.classes == 1'000'000);
  CHECK(task.evaluation.empty());
  CHECK(data.shape() == core::ImageShape{32, 32, 3});
  CHECK(data.size() == 257);
  std::set<std::vector<float>> seen;
  std::set<int64_t> labels;
  for (int64_t i = 0; i < data.size(); ++i) {
    seen.insert(pixels(data, i));
    labels.insert(data.label(i));
  }
  CHECK(seen.size() == 257);
  CHECK(labels.size() > 250);  // of a million classes: few collisions
  CHECK(*labels.begin() >= 0);
  CHECK(*labels.rbegin() < 1'000'000);
  CHECK(*labels.rbegin() > 900'000);
  double sum = 0, squares = 0;
  for (float const pixel : pixels(data, 5)) {
    REQUIRE((pixel >= 0 && pixel <= 1));
    sum += pixel, squares += double{pixel} * pixel;
  }
  // Uniform: means of 1/2 and 1/3, within 4 standard deviations.
  CHECK(sum / 3072 == Approx(1.0 / 2).margin(0.02));
  CHECK(squares / 3072 == Approx(1.0 / 3).margin(0.022));
}

TEST_CASE("synthetic: same seed -> same data; odd number of pixels -> all written, none beyond") {
  train::DataConfig odd = config();
  odd.height = 31, odd.width = 1, odd.channels = 1;
  auto const a = train::open_task(odd, 1), again = train::open_task(odd, 1);
  auto const b = train::open_task(odd, 2);
  CHECK(pixels(*a.train.data, 256) == pixels(*again.train.data, 256));
  CHECK(pixels(*a.train.data, 256) != pixels(*b.train.data, 256));
  CHECK(a.train.data->label(256) == again.train.data->label(256));
  CHECK(a.train.data->label(256) != b.train.data->label(256));
  std::vector<float> guarded(32, -1.0f);
  a.train.data->read(0, guarded.data());
  CHECK(guarded[30] >= 0);
  CHECK(guarded[31] == -1.0f);
}

TEST_CASE("synthetic: no classes or no samples -> ConfigError") {
  train::DataConfig no_classes = config(), no_samples = config();
  no_classes.classes.reset();
  no_samples.samples = 0;
  CHECK_THROWS_AS(train::open_task(no_classes, 1), train::ConfigError);
  CHECK_THROWS_AS(train::open_task(no_samples, 1), train::ConfigError);
}
