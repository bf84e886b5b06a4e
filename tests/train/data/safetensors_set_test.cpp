#include <catch2/catch.hpp>
#include "tests/train/files.h"
#include "train/data/dataset.h"
#include "train/errors.h"
#include "train/formats/safetensors.h"

using Catch::Contains;
using core::Dtype;
using tests::TemporaryFolder;

namespace {

struct Entry {
  train::TensorDeclaration tensor;
  std::string bytes;
};

void write_images(std::string const& path, std::vector<Entry> const& entries) {
  std::vector<train::TensorDeclaration> tensors;
  for (Entry const& entry : entries) tensors.push_back(entry.tensor);
  train::SafetensorsWriter file(path, tensors);
  for (Entry const& entry : entries) file.append(entry.bytes.data(), entry.bytes.size());
  file.finish();
}

/// Two images of 1 x 2 pixels and 3 channels.
Entry images() {
  return {{"images", Dtype::u8, {2, 1, 2, 3}},
          tests::bytes_of(std::vector<uint8_t>{0, 51, 255, 1, 2, 3, 4, 5, 6, 7, 8, 102})};
}

Entry labels(std::vector<int64_t> const& values) {
  return {{"labels", Dtype::i64, {static_cast<int64_t>(values.size())}}, tests::bytes_of(values)};
}

struct Fixture {
  TemporaryFolder folder;
  train::DataConfig config;
  Fixture() {
    config.kind = train::DataKind::safetensors;
    config.path = folder.file("train");
  }
  train::Task open(std::vector<Entry> const& entries) {
    write_images(config.path, entries);
    return train::open_task(config, 1);
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture,
                 "SafetensorsSet: u8 images -> value / 255; classes -> largest label + 1") {
  train::Task const task = open({images(), labels({4, 0})});
  train::Dataset const& data = *task.train.data;
  CHECK(task.classes == 5);
  CHECK(data.shape() == core::ImageShape{1, 2, 3});
  CHECK(data.size() == 2);
  CHECK(data.label(0) == 4);
  CHECK(data.label(1) == 0);
  std::vector<float> pixels(6);
  data.read(0, pixels.data());
  CHECK(pixels == std::vector{0.0f, 0.2f, 1.0f, 1 / 255.0f, 2 / 255.0f, 3 / 255.0f});
  data.read(1, pixels.data());
  CHECK(pixels[0] == 4 / 255.0f);
  CHECK(pixels[5] == 0.4f);
}

TEST_CASE_METHOD(Fixture, "SafetensorsSet: f32 images -> unchanged; data.classes -> classes") {
  config.classes = 7;
  std::vector const values{-1.5f, 0.25f, 3.0f, 1e-30f};
  train::Task const task =
      open({labels({1, 6}), {{"images", Dtype::f32, {2, 2, 1, 1}}, tests::bytes_of(values)}});
  CHECK(task.classes == 7);
  std::vector<float> pixels(2);
  task.train.data->read(1, pixels.data());
  CHECK(pixels == std::vector{3.0f, 1e-30f});
}

TEST_CASE_METHOD(Fixture, "SafetensorsSet: data.eval_path -> a separate evaluation split") {
  config.eval_path = folder.file("test");
  write_images(config.eval_path, {{{"images", Dtype::u8, {1, 1, 2, 3}}, "abcdef"}, labels({1})});
  train::Task const task = open({images(), labels({4, 0})});
  CHECK(task.classes == 5);
  REQUIRE(task.evaluation.size() == 1);
  CHECK(task.evaluation[0].name == "test");
  CHECK(task.evaluation[0].data->size() == 1);

  write_images(config.eval_path, {{{"images", Dtype::u8, {1, 1, 2, 3}}, "abcdef"}, labels({5})});
  CHECK_THROWS_WITH(open({images(), labels({4, 0})}),
                    Contains("test: label 5 of image 0 is outside [0, 5)"));
  write_images(config.eval_path, {{{"images", Dtype::u8, {1, 2, 1, 3}}, "abcdef"}, labels({1})});
  CHECK_THROWS_WITH(open({images(), labels({4, 0})}), Contains("a different shape"));
}

TEST_CASE_METHOD(Fixture, "SafetensorsSet: label out of range -> BadData with its index") {
  CHECK_THROWS_WITH(open({images(), labels({0, -1})}), Contains("label -1 of image 1"));
  CHECK_THROWS_AS(open({images(), labels({0, INT64_MAX})}), train::BadData);
  config.classes = 4;
  CHECK_THROWS_WITH(open({images(), labels({3, 4})}),
                    Contains("label 4 of image 1 is outside [0, 4)"));
  CHECK_THROWS_AS(open({images(), labels({3, 4})}), train::BadData);
}

TEST_CASE_METHOD(Fixture,
                 "SafetensorsSet: label equal to ignore_index -> Dataset::ignored, not a class") {
  CHECK(config.ignore_index == -100);  // PyTorch's
  auto const ignored = train::Dataset::ignored;
  train::Task const task = open({images(), labels({-100, 3})});
  CHECK(task.classes == 4);
  CHECK(task.train.data->size() == 2);
  CHECK(task.train.data->label(0) == ignored);
  CHECK(task.train.data->label(1) == 3);

  config.ignore_index = 255;  // above the other labels: must not add classes
  config.eval_path = folder.file("test");
  write_images(config.eval_path, {images(), labels({1, 255})});
  train::Task const high = open({images(), labels({255, 1})});
  CHECK(high.classes == 2);
  CHECK(high.train.data->label(0) == ignored);
  CHECK(high.evaluation[0].data->label(1) == ignored);

  config.ignore_index = 0;
  CHECK_THROWS_WITH(open({images(), labels({2, -100})}),
                    Contains("label -100 of image 1 is outside [0, 3)") &&
                        Contains("is not data.ignore_index, 0"));
  CHECK_THROWS_WITH(open({images(), labels({0, 0})}),
                    Contains("train: every label is data.ignore_index, 0"));
}

TEST_CASE_METHOD(Fixture, "SafetensorsSet: wrong shape or dtype -> BadData with the tensor") {
  CHECK_THROWS_WITH(open({images()}), Contains("no tensor 'labels'"));
  CHECK_THROWS_WITH(open({labels({0})}), Contains("no tensor 'images'"));
  CHECK_THROWS_WITH(open({images(), labels({0})}), Contains("labels: expected an i64"));
  CHECK_THROWS_WITH(open({images(), {{"labels", Dtype::i32, {2}}, "00000000"}}),
                    Contains("labels: expected an i64"));
  CHECK_THROWS_WITH(open({{{"images", Dtype::u8, {2, 3}}, "abcdef"}, labels({0, 1})}),
                    Contains("(N, H, W, Ch), got u8 (2, 3)"));
  CHECK_THROWS_WITH(open({{{"images", Dtype::i32, {1, 1, 1, 1}}, "abcd"}, labels({0})}),
                    Contains("expected u8 or f32"));
  CHECK_THROWS_WITH(open({{{"images", Dtype::u8, {1, 0, 1, 1}}, ""}, labels({0})}),
                    Contains("no pixels"));
  CHECK_THROWS_WITH(open({{{"images", Dtype::u8, {0, 1, 1, 1}}, ""}, labels({})}),
                    Contains("no images"));
  config.path = folder.file("none");
  CHECK_THROWS_AS(train::open_task(config, 1), train::MissingInput);
}
