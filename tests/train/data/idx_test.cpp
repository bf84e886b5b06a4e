#include <catch2/catch.hpp>
#include <zlib.h>
#include "tests/train/files.h"
#include "train/data/dataset.h"
#include "train/errors.h"

using namespace std::string_literals;
using Catch::Contains;
using tests::TemporaryFolder;
using tests::write_file;

namespace {

/// Numbers as big-endian bytes.
std::string big(std::vector<uint32_t> const& numbers) {
  std::string bytes;
  for (uint32_t const n : numbers)
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(n >> shift);
  return bytes;
}

void write_gzip(std::string const& path, std::string const& bytes) {
  gzFile const file = gzopen(path.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
}

/// Three training images of 1 x 2 pixels and one test image.
struct Fixture {
  TemporaryFolder folder;
  train::DataConfig config;
  std::string const images = big({0x803, 3, 1, 2}) + "\x00\x33\xff\x01\x02\x03"s;
  std::string const images_name = folder.file("train-images-idx3-ubyte");
  std::string const labels_name = folder.file("train-labels-idx1-ubyte");

  Fixture() {
    config.kind = train::DataKind::idx;
    config.path = folder.path();
    write_file(images_name, images);
    write_file(labels_name, big({0x801, 3}) + "\2\0\1"s);
    write_file(folder.file("t10k-images-idx3-ubyte"), big({0x803, 1, 1, 2}) + "ab");
    write_file(folder.file("t10k-labels-idx1-ubyte"), big({0x801, 1}) + "\1");
  }
  train::Task open() const { return train::open_task(config, 1); }
  std::string refusal(std::string const& bytes) const {
    write_file(images_name, bytes);
    try {
      open();
    } catch (train::BadData const& error) {
      return error.what();
    }
    return "";
  }
};

}  // namespace

TEST_CASE_METHOD(Fixture, "idx: handwritten files, plain and gzipped -> images and labels") {
  bool const zipped = GENERATE(false, true);
  if (zipped) {
    std::filesystem::remove(images_name);
    write_gzip(images_name + ".gz", images);
  }
  train::Task const task = open();
  train::Dataset const& data = *task.train.data;
  CHECK(task.classes == 3);
  CHECK(data.shape() == core::ImageShape{1, 2, 1});
  CHECK(data.size() == 3);
  CHECK(data.label(0) == 2);
  CHECK(data.label(2) == 1);
  std::vector<float> pixels(2);
  data.read(0, pixels.data());
  CHECK(pixels == std::vector{0.0f, 0.2f});
  data.read(1, pixels.data());
  CHECK(pixels == std::vector{1.0f, 1 / 255.0f});
  REQUIRE(task.evaluation.size() == 1);
  CHECK(task.evaluation[0].name == "test");
  CHECK(task.evaluation[0].data->size() == 1);
}

TEST_CASE_METHOD(Fixture, "idx: wrong magic number or size -> BadData") {
  CHECK(refusal(images) == "");
  CHECK_THAT(refusal(""), Contains("train-images-idx3-ubyte: truncated"));
  CHECK_THAT(refusal(big({0x801, 3}) + "\2\0\1"s), Contains("magic number 2049, expected 2051"));
  CHECK_THAT(refusal(images.substr(0, images.size() - 1)), Contains("truncated"));
  CHECK_THAT(refusal(images.substr(0, 10)), Contains("truncated"));
  CHECK_THAT(refusal(images + "x"), Contains("more data than its header declares"));
  // (2^32 - 1)^3 exceeds 2^64; 2^31 squared does not, but must not be allocated.
  CHECK_THAT(refusal(big({0x803, ~0u, ~0u, ~0u}) + "x"), Contains("sizes overflows"));
  CHECK_THAT(refusal(big({0x803, 1u << 31, 1u << 31, 1}) + "x"), Contains("too short for"));
  CHECK_THAT(refusal(big({0x803, 3, 2, 0})), Contains("no pixels"));
  CHECK_THAT(refusal(big({0x803, 2, 1, 2}) + "abcd"), Contains("3 labels for 2 images"));
}

TEST_CASE_METHOD(Fixture, "idx: damaged gzip file -> BadData") {
  std::filesystem::remove(images_name);
  write_gzip(images_name + ".gz", images);
  std::string const whole = tests::read_file(images_name + ".gz");
  std::string flipped = whole;
  flipped[flipped.size() - 6] ^= 1;  // in the checksum
  write_file(images_name + ".gz", flipped);
  CHECK_THROWS_AS(open(), train::BadData);
  for (size_t length : {whole.size() - 1, whole.size() - 9, size_t{12}}) {
    write_file(images_name + ".gz", whole.substr(0, length));
    CHECK_THROWS_AS(open(), train::BadData);
  }
}

TEST_CASE_METHOD(Fixture, "idx: label outside data.classes -> BadData") {
  config.classes = 2;
  CHECK_THROWS_WITH(open(), Contains("label 2 of image 0 is outside [0, 2)"));
  config.classes = 3;
  write_file(folder.file("t10k-labels-idx1-ubyte"), big({0x801, 1}) + "\3");
  CHECK_THROWS_WITH(open(), Contains("t10k-labels") && Contains("label 3 of image 0"));
}

TEST_CASE_METHOD(Fixture, "idx: label equal to ignore_index -> Dataset::ignored, not a class") {
  config.ignore_index = 2;
  train::Task const task = open();
  CHECK(task.classes == 2);
  CHECK(task.train.data->label(0) == train::Dataset::ignored);
}

TEST_CASE_METHOD(Fixture, "idx: missing file -> MissingInput with its name and Debian package") {
  std::filesystem::remove(labels_name);
  CHECK_THROWS_AS(open(), train::MissingInput);
  CHECK_THROWS_WITH(open(),
                    Contains("train-labels-idx1-ubyte") && Contains("dataset-fashion-mnist"));
}

TEST_CASE("idx: Fashion-MNIST from its Debian package -> sizes, classes and mean") {
  train::DataConfig config;
  config.kind = train::DataKind::idx;
  config.path = "/usr/share/datasets/fashion-mnist";
  if (!std::filesystem::exists(config.path)) {
    WARN("not run: needs the Debian package dataset-fashion-mnist");
    return;
  }
  train::Task const task = train::open_task(config, 1);
  train::Dataset const &data = *task.train.data, &test = *task.evaluation.at(0).data;
  CHECK(task.classes == 10);
  CHECK(data.size() == 60'000);
  CHECK(test.size() == 10'000);
  CHECK(data.shape() == core::ImageShape{28, 28, 1});
  std::vector<int> of_class(10);
  for (int64_t i = 0; i < data.size(); ++i) ++of_class[static_cast<size_t>(data.label(i))];
  CHECK(of_class == std::vector<int>(10, 6'000));
  // Published mean for normalization: 0.2860.
  double sum = 0;
  std::vector<float> pixels(784);
  for (int64_t i = 0; i < data.size(); ++i) {
    data.read(i, pixels.data());
    for (float const pixel : pixels) sum += pixel;
  }
  CHECK(sum / (60'000.0 * 784) == Approx(0.2860).margin(5e-5));
}
