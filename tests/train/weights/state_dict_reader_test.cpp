#include "train/weights/state_dict_reader.h"
#include <catch2/catch.hpp>
#include "tests/train/checkpoint/state.h"
#include "tests/train/files.h"
#include "train/errors.h"

namespace train {
namespace {

using core::Dtype;

/// A folder with an index and its files.
struct Sharded {
  tests::TemporaryFolder folder;
  std::string index = folder.file("w.safetensors.index.json");

  /// Writes a file with one f32 tensor.
  void write(std::string const& file, std::string const& name, core::Shape const& shape,
             std::vector<float> const& numbers) const {
    SafetensorsWriter writer(folder.file(file), {{name, Dtype::f32, shape}});
    writer.append(numbers.data(), numbers.size() * sizeof(float));
    writer.finish();
  }
  void map(std::string const& weight_map) const {
    tests::write_file(index,
                      R"({"metadata": {"total_size": 0}, "weight_map": )" + weight_map + "}");
  }
  std::string refusal() const {
    return tests::thrown<BadData>([&] { StateDictReader const reader(index); });
  }
};

TEST_CASE("StateDictReader: index -> one state_dict, parts of a tensor joined", "[state_dict]") {
  Sharded s;
  s.write("a", "x.00001", {2, 2}, {0, 1, 2, 3});
  s.write("b", "x.00002", {1, 2}, {4, 5});
  s.write("c", "conv.0001", {1}, {6});  // four digits: a whole tensor
  s.map(R"({"x.00002": "b", "x.00001": "a", "conv.0001": "c"})");
  StateDictReader const reader(s.index);
  CHECK(reader.tensors().size() == 2);
  CHECK(reader.tensors().at("x").shape == core::Shape{3, 2});
  CHECK(reader.floats("x", 0, 6) == std::vector<float>{0, 1, 2, 3, 4, 5});
  CHECK(reader.floats("x", 3, 2) == std::vector<float>{3, 4});
  CHECK(reader.floats("x", 4, 2) == std::vector<float>{4, 5});
  CHECK(reader.floats("conv.0001", 0, 1) == std::vector<float>{6});
  CHECK_THROWS_AS(reader.floats("x", 5, 2), core::Error);
}

TEST_CASE("StateDictReader: file without index -> names with part suffixes unchanged",
          "[state_dict]") {
  Sharded const s;
  s.write("a", "x.00001", {2}, {1, 2});
  StateDictReader const reader(s.folder.file("a"));
  CHECK(reader.contains("x.00001"));
  CHECK_FALSE(reader.contains("x"));
}

TEST_CASE("StateDictReader: index does not match its files -> BadData", "[state_dict]") {
  Sharded const s;
  s.write("a", "x.00001", {2, 2}, {0, 1, 2, 3});
  s.write("b", "x.00002", {1, 3}, {4, 5, 6});
  s.write("c", "x.00003", {1, 2}, {7, 8});
  s.map(R"({"x.00001": "a", "x.00003": "c"})");
  CHECK_THAT(s.refusal(), Catch::Contains("found 'x.00003', but not 'x.00002'"));
  s.map(R"({"x.00001": "a", "x.00002": "b"})");
  CHECK_THAT(s.refusal(),
             Catch::Contains("'x.00002' is f32 (1, 3), which does not match the previous parts"));
  s.map(R"({"x.00001": "b"})");
  CHECK_THAT(s.refusal(), Catch::Contains("no tensor 'x.00001'"));
  s.map(R"({"x.00001": "../a"})");
  CHECK_THAT(s.refusal(),
             Catch::Contains("'../a', which is not a file in the folder of the index"));
  s.map("[]");
  CHECK_THAT(s.refusal(), Catch::Contains("is not an index of safetensors files"));
  tests::write_file(s.index, "weights");
  CHECK_THAT(s.refusal(), Catch::Contains("is not an index of safetensors files"));
  s.map(R"({"x.00001": "none"})");
  CHECK_THROWS_AS(StateDictReader(s.index), MissingInput);
}

}  // namespace
}  // namespace train
