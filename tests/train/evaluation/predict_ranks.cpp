#include <cmath>
#include "tests/support/ranks.h"
#include "tests/support/reference.h"
#include "tests/train/known_model.h"
#include "tests/train/shared_folder.h"
#include "train/evaluation/predict.h"
#include "train/formats/safetensors.h"

using core::Dtype;
using tests::known_best;
using tests::known_classes;

namespace {

constexpr int64_t samples = 24;

template <class T>
std::vector<T> values(train::SafetensorsReader const& file, std::string const& name) {
  std::vector<T> all(file.entry(name).bytes() / sizeof(T));
  file.read(name, all.data(), file.entry(name).bytes());
  return all;
}

}  // namespace

TEST_CASE("predict: any number of ranks -> predictions and embeddings in sample order", "[ranks]") {
  auto const dtype = GENERATE(Dtype::f32, Dtype::bf16);
  auto const batch = GENERATE(7, 23, 100);  // the last batch may have fewer rows than ranks
  auto const asked = GENERATE(1, 3, 20);
  auto const kind = GENERATE(train::HeadKind::softmax, train::HeadKind::arcface);
  tests::SharedFolder shared;
  train::Experiment experiment;
  experiment.data.global_batch_size = batch;
  experiment.head.kind = kind;
  auto model = tests::known_model(tests::device(), tests::world(), dtype);
  auto const split = tests::known_split(samples);
  train::PredictOptions const files{shared.path / "classes", shared.path / "embeddings", asked};
  predict(model, split, experiment, tests::device(), tests::world(), files);
  tests::world().barrier();

  train::SafetensorsReader const answers(files.classes_to), features(files.embeddings_to);
  int64_t const k = std::min<int64_t>(asked, known_classes), d = known_classes;
  CHECK(answers.entry("classes").shape == core::Shape{samples, k});
  CHECK(answers.metadata() == train::Metadata{{"split", "known"}});
  CHECK(features.entry("embeddings").shape == core::Shape{samples, d});
  auto const classes = values<int64_t>(answers, "classes");
  auto const scores = values<float>(answers, "scores");
  auto const labels = values<int64_t>(answers, "labels");
  auto const x = values<float>(features, "embeddings");
  CHECK(values<int64_t>(features, "labels") == labels);
  float const length = kind == train::HeadKind::softmax ? 1 : std::sqrt(204.0f);  // 1² + ... + 8²
  std::vector<float> pixels(static_cast<size_t>(d));
  for (int64_t i = 0; i < samples; ++i) {
    CHECK(labels[static_cast<size_t>(i)] == 2 * i % known_classes);
    for (int64_t place = 0; place < k; ++place) {
      CHECK(classes[static_cast<size_t>(i * k + place)] == known_best(i, place));
      CHECK(scores[static_cast<size_t>(i * k + place)] ==
            static_cast<float>(known_classes - place));
    }
    split.data->read(i, pixels.data());
    for (int64_t c = 0; c < d; ++c)
      CHECK(x[static_cast<size_t>(i * d + c)] ==
            Approx(pixels[static_cast<size_t>(c)] / length).epsilon(1e-6));
  }
}

TEST_CASE("predict: embeddings not requested -> one file", "[ranks]") {
  tests::SharedFolder shared;
  train::Experiment experiment;
  experiment.data.global_batch_size = 5;
  auto model = tests::known_model(tests::device(), tests::world());
  predict(model, tests::known_split(9), experiment, tests::device(), tests::world(),
          {.classes_to = shared.path / "classes"});
  tests::world().barrier();
  std::filesystem::directory_iterator const files(shared.path);
  CHECK(std::distance(begin(files), end(files)) == 1);
}
