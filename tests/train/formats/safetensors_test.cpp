#include "train/formats/safetensors.h"
#include <catch2/catch.hpp>
#include "tests/train/files.h"
#include "train/errors.h"

using namespace std::string_literals;
using Catch::Contains;
using core::Dtype;
using core::Shape;
using tests::safetensors;
using tests::TemporaryFolder;
using tests::write_file;

namespace {

/// Error message for a file with these bytes, or "" if it is valid.
std::string refusal(std::string const& bytes) {
  TemporaryFolder folder;
  write_file(folder.file("bad.safetensors"), bytes);
  try {
    train::SafetensorsReader reader(folder.file("bad.safetensors"));
  } catch (train::BadData const& error) {
    CHECK_THAT(error.what(), Contains("bad.safetensors"));
    return error.what();
  }
  return "";
}

/// Error message for a file with this header and `data_bytes` bytes of data.
std::string refused_header(std::string const& header, size_t data_bytes = 0) {
  return refusal(safetensors(header, std::string(data_bytes, 'x')));
}

/// Header with one tensor "a" with these fields.
std::string one(std::string const& dtype, std::string const& shape, std::string const& offsets) {
  return R"({"a":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}}";
}

}  // namespace

TEST_CASE("safetensors: handwritten file -> tensors and metadata") {
  TemporaryFolder folder;
  std::string const path = folder.file("hand");
  // In the data, "b" precedes "none" and "a"; spaces pad the header.
  write_file(path, safetensors(R"({"__metadata__":{"format":"pt"},)"
                               R"("a":{"dtype":"F32","shape":[2,1],"data_offsets":[3,11]},)"
                               R"("none":{"dtype":"I64","shape":[0,5],"data_offsets":[3,3]},)"
                               R"("b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                               R"("s":{"dtype":"BF16","shape":[],"data_offsets":[11,13]}}   )",
                               "\1\2\3"s + tests::bytes_of(std::vector{1.5f, -2.0f}) + "\x80\x3f"));
  train::SafetensorsReader const reader(path);
  CHECK(reader.entries().size() == 4);
  CHECK(reader.metadata() == train::Metadata{{"format", "pt"}});
  CHECK(reader.entry("a").dtype == Dtype::f32);
  CHECK(reader.entry("a").shape == Shape{2, 1});
  CHECK(reader.entry("none").shape == Shape{0, 5});
  CHECK(reader.entry("s").shape == Shape{});
  float a[2];
  reader.read("a", a, 8);
  CHECK(a[0] == 1.5f);
  CHECK(a[1] == -2.0f);
  uint8_t b[2];
  reader.read("b", b, 2, 1);
  CHECK(b[0] == 2);
  CHECK(b[1] == 3);
  core::bf16 s;
  reader.read("s", &s, 2);
  CHECK(float(s) == 1.0f);
  reader.read("none", nullptr, 0);
  CHECK(reader.contains("a"));
  CHECK_FALSE(reader.contains("c"));
  CHECK_THROWS_AS(reader.entry("c"), train::BadData);
  CHECK_THROWS_AS(reader.read("b", b, 2, 2), train::BadData);
  CHECK_THROWS_AS(reader.read("b", b, 1, UINT64_MAX), train::BadData);
}

TEST_CASE("safetensors: writing in parts of any size -> the same tensors when read") {
  TemporaryFolder folder;
  std::string const path = folder.file("own");
  std::vector<double> f64(31);
  for (size_t i = 0; i < f64.size(); ++i) f64[i] = 1.0 / static_cast<double>(i + 1);
  std::vector<int32_t> const i32{7, -8, 9};
  std::string const bytes = tests::bytes_of(f64) + tests::bytes_of(i32);
  train::SafetensorsWriter writer(
      path, {{"z", Dtype::f64, {31}}, {"empty", Dtype::u8, {0}}, {"a/é", Dtype::i32, {3, 1}}},
      {{"step", "12"}});
  for (size_t at = 0; at < bytes.size(); at += 97)
    writer.append(bytes.data() + at, std::min<size_t>(97, bytes.size() - at));
  writer.finish();

  train::SafetensorsReader const reader(path);
  CHECK(reader.metadata().at("step") == "12");
  CHECK(reader.entries().size() == 3);
  std::vector<double> z(31);
  reader.read("z", z.data(), 248);
  CHECK(z == f64);
  std::vector<int32_t> a(3);
  reader.read("a/é", a.data(), 12);
  CHECK(a == i32);
  // Memory-mapped files need aligned data.
  CHECK((std::filesystem::file_size(path) - bytes.size()) % 8 == 0);
}

TEST_CASE("SafetensorsTable: tensors filled in turn -> the same tensors when read") {
  TemporaryFolder folder;
  std::string const path = folder.file("table");
  train::SafetensorsTable table(
      path, {{"z", Dtype::f32, {3, 2}}, {"a", Dtype::i32, {3}}, {"none", Dtype::u8, {0}}},
      {{"split", "test"}});
  std::vector<float> const z{1, 2, 3, 4, 5, 6};
  std::vector<int32_t> const a{7, -8, 9};
  for (size_t rows : {2, 1}) {
    size_t const at = rows == 2 ? 0 : 2;
    table.append(0, z.data() + 2 * at, rows * 8);
    table.append(1, a.data() + at, rows * 4);
  }
  CHECK_THROWS_AS(table.append(1, a.data(), 4), core::Error);  // must not overwrite the next tensor
  CHECK_THROWS_AS(table.append(2, a.data(), 1), core::Error);
  table.finish();
  train::SafetensorsReader const reader(path);
  CHECK(reader.metadata() == train::Metadata{{"split", "test"}});
  std::vector<float> got_z(6);
  std::vector<int32_t> got_a(3);
  reader.read("z", got_z.data(), 24);
  reader.read("a", got_a.data(), 12);
  CHECK(got_z == z);
  CHECK(got_a == a);

  train::SafetensorsTable less(path, {{"z", Dtype::f32, {1}}, {"a", Dtype::f32, {1}}});
  less.append(1, z.data(), 4);
  CHECK_THROWS_AS(less.finish(), core::Error);
}

TEST_CASE("safetensors: header size exceeds the file -> BadData before allocation") {
  CHECK_THAT(refusal(""), Contains("too short"));
  CHECK_THAT(refusal("\5\0\0"s), Contains("too short"));
  CHECK_THAT(refusal(tests::bytes_of(uint64_t{100'000'001}) + "{}"), Contains("header size of"));
  CHECK_THAT(refusal(tests::bytes_of(UINT64_MAX) + "{}"), Contains("header size of"));
  CHECK_THAT(refusal(tests::bytes_of(uint64_t{3}) + "{}"), Contains("header size of 3"));
}

TEST_CASE("safetensors: malformed header -> BadData with the reason") {
  CHECK_THAT(refused_header(""), Contains("begin with"));
  CHECK_THAT(refused_header(" {}"), Contains("begin with"));
  CHECK_THAT(refused_header("{"), Contains("not JSON"));
  CHECK_THAT(refused_header("{} x"), Contains("not JSON"));
  CHECK_THAT(refused_header("{\"\xff\":1}"), Contains("not JSON"));
  CHECK_THAT(refused_header(std::string(100'000, '[').replace(0, 5, R"({"a":)")),
             Contains("deeply"));
  CHECK_THAT(refused_header(R"({"a":3})"), Contains("a: expected dtype"));
  CHECK_THAT(refused_header(R"({"a":{"dtype":"U8","shape":[0]}})"), Contains("expected dtype"));
  CHECK_THAT(refused_header(R"({"__metadata__":{"a":1}})"), Contains("not a string"));
  CHECK_THAT(refused_header(R"({"__metadata__":[]})"), Contains("not an object"));
  std::string const a = R"("a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  CHECK(refused_header("{" + a + "}") == "");
  CHECK_THAT(refused_header("{" + a + "," + a + "}"), Contains("duplicate key 'a'"));
  CHECK_THAT(refused_header(R"({"a":{"dtype":"U8","dtype":"U8","shape":[0],)"
                            R"("data_offsets":[0,0]}})"),
             Contains("duplicate key 'dtype'"));
}

TEST_CASE("safetensors: inconsistent entry -> BadData with its name") {
  CHECK(refused_header(one("F32", "[2]", "[0,8]"), 8) == "");
  CHECK_THAT(refused_header(one("F16", "[4]", "[0,8]"), 8), Contains("a: unknown dtype"));
  CHECK_THAT(refused_header(one("F32", "[3]", "[0,8]"), 8), Contains("do not match"));
  CHECK_THAT(refused_header(one("F32", "[2]", "[8,0]"), 8), Contains("do not match"));
  CHECK_THAT(refused_header(one("F32", "[2]", "[0,8,8]"), 8), Contains("list"));
  CHECK_THAT(refused_header(one("F32", "2", "[0,8]"), 8), Contains("list"));
  CHECK_THAT(refused_header(one("F32", "[-2]", "[0,8]"), 8), Contains("non-negative integer"));
  CHECK_THAT(refused_header(one("F32", "[2.0]", "[0,8]"), 8), Contains("non-negative integer"));
  CHECK_THAT(refused_header(one("U8", "[1e3]", "[0,8]"), 8), Contains("non-negative integer"));
  CHECK_THAT(refused_header(one("U8", "[18446744073709551615]", "[0,8]"), 8),
             Contains("overflows"));
  // 2^32 * 2^32 wraps to 0 in 64 bits.
  CHECK_THAT(refused_header(one("U8", "[4294967296,4294967296]", "[0,0]")), Contains("overflows"));
  CHECK_THAT(refused_header(one("F32", "[4611686018427387904]", "[0,0]")), Contains("overflows"));
}

TEST_CASE("safetensors: gap, overlap or wrong file size -> BadData") {
  std::string const ok = one("U8", "[8]", "[0,8]");
  CHECK_THAT(refused_header(ok, 7), Contains("occupy 8 bytes, the file has 7"));
  CHECK_THAT(refused_header(ok, 9), Contains("occupy 8 bytes, the file has 9"));
  CHECK_THAT(refused_header(one("U8", "[8]", "[1,9]"), 9), Contains("gap"));
  auto const pair = [](std::string const& b) {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
           R"("b":{"dtype":"U8","shape":[4],"data_offsets":)" +
           b + "}}";
  };
  CHECK(refused_header(pair("[4,8]"), 8) == "");
  CHECK_THAT(refused_header(pair("[3,7]"), 8), Contains("b: gap or overlap"));
  CHECK_THAT(refused_header(pair("[5,9]"), 9), Contains("b: gap or overlap"));
}

TEST_CASE("safetensors: file truncated at any byte -> BadData") {
  std::string const whole = safetensors(one("I32", "[2]", "[0,8]"), "12345678");
  for (size_t length = 0; length < whole.size(); ++length)
    CHECK(refusal(whole.substr(0, length)) != "");
}

TEST_CASE("safetensors: system error -> message with the path and the reason") {
  CHECK_THROWS_AS(train::SafetensorsReader("/no/such/file"), train::MissingInput);
  CHECK_THROWS_AS(train::SafetensorsReader("/tmp"), train::BadData);
  CHECK_THROWS_WITH(train::SafetensorsWriter("/no/such/folder/f", {}),
                    Contains("/no/such/folder/f") && Contains("No such file"));
  CHECK_THROWS_AS(train::SafetensorsWriter("/dev/full", {}), train::IoError);
  CHECK_THROWS_WITH(train::SafetensorsWriter("/dev/full", {}), Contains("No space left"));
}

TEST_CASE("SafetensorsWriter: more or fewer bytes than declared -> core::Error") {
  TemporaryFolder folder;
  train::SafetensorsWriter writer(folder.file("f"), {{"a", Dtype::i32, {2}}});
  CHECK_THROWS_WITH(writer.append("123456789", 9), Contains("more than declared"));
  writer.append("1234", 4);
  CHECK_THROWS_WITH(writer.finish(), Contains("4 declared bytes"));
  CHECK_THROWS_AS(
      train::SafetensorsWriter(folder.file("g"), {{"a", Dtype::u8, {1}}, {"a", Dtype::u8, {1}}}),
      core::Error);
}
