#include "train/formats/tensor_file.h"
#include <catch2/catch.hpp>
#include "tests/train/files.h"
#include "train/errors.h"

namespace train {
namespace {

using core::Dtype;

TEST_CASE("read_floats: f64 and bf16 -> f32; i64 or past the end -> error", "[tensor_file]") {
  tests::TemporaryFolder folder;
  auto const path = folder.file("a.safetensors");
  std::vector<double> const wide{1.5, -2.25, 1e-3};
  std::vector<core::bf16> const narrow{core::bf16(3.0f), core::bf16(-0.5f)};
  SafetensorsWriter writer(
      path, {{"wide", Dtype::f64, {3}}, {"narrow", Dtype::bf16, {2}}, {"count", Dtype::i64, {1}}});
  int64_t const count = 5;
  writer.append(wide.data(), 24);
  writer.append(narrow.data(), 4);
  writer.append(&count, 8);
  writer.finish();
  SafetensorsReader const file(path);
  CHECK(read_floats(file, "wide", 1, 2) == std::vector<float>{-2.25f, 1e-3f});
  CHECK(read_floats(file, "narrow", 0, 2) == std::vector<float>{3, -0.5f});
  CHECK_THROWS_AS(read_floats(file, "count", 0, 1), core::Error);
  CHECK_THROWS_AS(read_floats(file, "wide", 2, 2), BadData);
}

TEST_CASE("rows_at_once: rows in 64 MiB of f32, at least 1", "[tensor_file]") {
  CHECK(rows_at_once(512) == 32768);
  CHECK(rows_at_once(int64_t{1} << 40) == 1);
}

}  // namespace
}  // namespace train
