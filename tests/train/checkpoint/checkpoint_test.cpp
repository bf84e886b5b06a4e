#include "train/checkpoint/checkpoint.h"
#include <nlohmann/json.hpp>
#include "comm/self.h"
#include "tests/support/device.h"
#include "tests/train/checkpoint/state.h"
#include "train/checkpoint/folder.h"
#include "train/checkpoint/manifest.h"
#include "train/errors.h"

using Catch::Contains;
using tests::read_file;
using tests::thrown;
using tests::write_file;
using train::Position;

namespace fs = std::filesystem;

namespace {

/// A run on one rank that saves states with known bits.
struct Run {
  comm::Self self;
  tests::TemporaryFolder temporary;
  fs::path folder = temporary.path() / "checkpoints";
  tests::CheckpointState state{tests::device(), 0, 7};
  std::vector<std::string> warnings;

  void save(int64_t step, int64_t keep = 3, int64_t number = 0) {
    state.fill(number ? number : step);
    train::Checkpoints(folder, self, keep).save(state.snapshot, {step, step / 10, step % 10});
  }

  std::optional<Position> load() {
    state.fill(-1);
    warnings.clear();
    return train::Checkpoints(folder, self, 1).load(state.snapshot, [&](std::string const& text) {
      warnings.push_back(text);
    });
  }

  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (auto const& entry : fs::directory_iterator(folder))
      all.push_back(entry.path().filename().string());
    std::sort(all.begin(), all.end());
    return all;
  }

  std::string file(int64_t step, std::string const& name) const {
    return folder / train::step_name(step) / name;
  }
};

using Names = std::vector<std::string>;

std::string const head = "head-0-of-1.safetensors", trunk = "trunk.safetensors",
                  manifest = "manifest.json";

/// Checks that loading skips step 20 with a warning that contains `why`, and loads step 10.
void falls_back(Run& run, std::string const& why) {
  auto const at = run.load();
  REQUIRE(at.has_value());
  CHECK(*at == Position{10, 1, 0});
  CHECK(run.state.holds(10));
  REQUIRE(run.warnings.size() == 1);
  CHECK_THAT(run.warnings[0], Contains("step-00000020") && Contains("rank 0") && Contains(why));
}

/// Error message of a failed load; checks that the state is unchanged.
template <class E>
std::string refusal(Run& run) {
  auto const text = thrown<E>([&] { run.load(); });
  CHECK(run.state.holds(-1));
  return text;
}

}  // namespace

TEST_CASE("checkpoint: save and load -> bitwise identical state") {
  Run run;
  run.save(123);
  auto const at = run.load();
  REQUIRE(at.has_value());
  CHECK(*at == Position{123, 12, 3});
  CHECK(run.state.holds(123));
  CHECK(run.warnings.empty());
}

TEST_CASE("checkpoint: empty shard -> saved and loaded") {
  Run run;
  run.state = tests::CheckpointState(tests::device(), 0, 0);
  run.save(1);
  CHECK(run.load().has_value());
  CHECK(run.state.holds(1));
}

TEST_CASE("checkpoint: tensor larger than a piece, last piece short -> bitwise identical") {
  Run run;
  core::Tensor large(tests::device(), {(64 << 20) + 3}, core::Dtype::u8);
  std::string bytes(large.bytes(), '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * i >> 8);
  tests::device().upload(bytes.data(), large);
  train::Snapshot snapshot{{{"large", large}}, {}, 1, 1};
  train::Checkpoints checkpoints(run.folder, run.self, 1);
  checkpoints.save(snapshot, {});
  tests::device().kernels().fill(0, large);
  CHECK(checkpoints.load(snapshot, {}).has_value());
  CHECK(tests::bytes(large) == bytes);
}

TEST_CASE("checkpoint: no checkpoint in the folder -> nullopt") {
  Run run;
  CHECK_FALSE(run.load().has_value());
  fs::create_directory(run.folder);
  fs::create_directory(run.folder / ".step-00000003.partial");
  for (auto const* name : {"step-3", "step-00000003.tmp", "step-0000000x", "step-", "latest"})
    fs::create_directory(run.folder / name);
  CHECK_FALSE(run.load().has_value());
  CHECK(run.state.holds(-1));
  CHECK(run.warnings.empty());
}

TEST_CASE("checkpoint: manifest -> position, run and files of the folder") {
  Run run;
  run.save(20);
  auto const text = read_file(run.file(20, manifest));
  CHECK_THAT(text, Contains("\n  \"step\": 20"));
  auto const json = nlohmann::json::parse(text);
  CHECK(json["format"] == 2);
  CHECK_THAT(json["program"].get<std::string>(), Contains("colonnade "));
  CHECK(json["step"] == 20);
  CHECK(json["epoch"] == 2);
  CHECK(json["batch"] == 0);
  CHECK(json["seed"] == "18446744073709551615");
  CHECK(json["ranks"] == 1);
  CHECK(json["classes"] == 7);
  CHECK(json["image"] == nlohmann::json{28, 30, 3});
  CHECK(json["files"].size() == 2);
  CHECK(json["files"][trunk]["bytes"] == fs::file_size(run.file(20, trunk)));
  CHECK(json["files"][head]["crc32"].get<std::string>().size() == 8);
}

TEST_CASE("checkpoint: digest of \"123456789\" -> the check value of CRC-32") {
  train::Digest digest;
  digest.add("1234", 4);
  digest.add("56789", 5);
  CHECK(digest.crc32 == 0xCBF43926u);  // published check value of CRC-32
  CHECK(digest.bytes == 9);
  Run run;
  write_file(run.temporary.file("f"), "123456789");
  CHECK(train::digest(train::File::open(run.temporary.file("f"))) == digest);
}

TEST_CASE("checkpoint: file of a wrong size or missing -> previous checkpoint is loaded") {
  Run run;
  run.save(10);
  run.save(20);
  for (auto const& name : {head, trunk, manifest}) {
    auto const whole = read_file(run.file(20, name));
    for (size_t const length : {size_t{0}, size_t{7}, size_t{100}, whole.size() - 2}) {
      write_file(run.file(20, name), whole.substr(0, length));
      falls_back(run, name);
    }
    write_file(run.file(20, name), whole + "x");
    falls_back(run, name);
    fs::remove(run.file(20, name));
    falls_back(run, name);
    write_file(run.file(20, name), whole);
  }
  CHECK(*run.load() == Position{20, 2, 0});
  CHECK(run.warnings.empty());
}

TEST_CASE("checkpoint: bit flipped in any byte -> previous checkpoint is loaded") {
  Run run;
  run.save(10);
  run.save(20);
  for (auto const& name : {head, trunk, manifest}) {
    auto const whole = read_file(run.file(20, name));
    for (size_t i = 0; i + 1 < whole.size(); ++i) {
      auto flipped = whole;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << i % 8));
      write_file(run.file(20, name), flipped);
      auto const at = run.load();
      bool const passed = at && at->step == 10 && run.state.holds(10);
      bool const told = run.warnings.size() == 1 &&
                        run.warnings[0].find("step-00000020/" + name) != std::string::npos;
      if (!passed || !told) FAIL_CHECK(name << ", byte " << i << ": damage not detected");
    }
    write_file(run.file(20, name), whole);
  }
}

TEST_CASE("checkpoint: file of another checkpoint -> previous checkpoint is loaded") {
  Run run;
  run.save(10);
  run.save(20);
  SECTION("another step's shard") {
    fs::copy_file(run.file(10, head), run.file(20, head), fs::copy_options::overwrite_existing);
    falls_back(run, head + ": checksum mismatch");
  }
  SECTION("another step's manifest") {
    fs::copy_file(run.file(10, manifest), run.file(20, manifest),
                  fs::copy_options::overwrite_existing);
    falls_back(run, "belongs to step 10");
  }
  SECTION("a manifest without the shard") {
    auto said = train::parse_manifest(read_file(run.file(20, manifest)), "");
    said.files.erase(head);
    write_file(run.file(20, manifest), to_text(said));
    falls_back(run, head + " is not listed in its manifest");
  }
}

TEST_CASE("checkpoint: all damaged -> BadData with every reason") {
  Run run;
  run.save(10);
  run.save(20);
  write_file(run.file(10, trunk), "");
  fs::remove(run.file(20, head));
  auto const text = refusal<train::BadData>(run);
  CHECK_THAT(text, Contains("step-00000010/trunk.safetensors has 0 bytes"));
  CHECK_THAT(text, Contains("file not found") && Contains("step-00000020/" + head));
  CHECK(run.warnings.size() == 2);
}

TEST_CASE("checkpoint: intact but from a different run -> ConfigError with the difference") {
  Run run;
  run.save(10);
  run.save(20);
  auto& snapshot = run.state.snapshot;
  SECTION("classes") {
    snapshot.classes = 8;
    CHECK_THAT(refusal<train::ConfigError>(run), Contains("classes 7, expected 8"));
  }
  SECTION("seed") {
    snapshot.seed = 5;
    CHECK_THAT(refusal<train::ConfigError>(run),
               Contains("step-00000020") && Contains("seed 18446744073709551615, expected 5"));
  }
  SECTION("ranks") {
    auto said = train::parse_manifest(read_file(run.file(20, manifest)), "");
    said.ranks = 3;
    write_file(run.file(20, manifest), to_text(said));
    CHECK_THAT(refusal<train::ConfigError>(run), Contains("ranks 3, expected 1"));
  }
  SECTION("tensors") {
    snapshot.trunk[0].name = "conv2.weight";
    snapshot.trunk[4].tensor = core::Tensor(tests::device(), {1, 5}, core::Dtype::i32);
    snapshot.trunk[1].tensor = core::Tensor(tests::device(), {31}, core::Dtype::i64);
    CHECK_THAT(refusal<train::ConfigError>(run),
               Contains(trunk) && Contains("'conv2.weight' is missing") &&
                   Contains("'conv.weight' is unexpected") &&
                   Contains("'counts' is i32 (5, 1), expected i32 (1, 5)") &&
                   Contains("'conv.copy' is bf16 (31), expected i64 (31)"));
  }
  SECTION("shard") {
    snapshot.head.pop_back();
    CHECK_THAT(refusal<train::ConfigError>(run), Contains(head + " does not fit the model: "
                                                                 "'head.rows' is unexpected"));
  }
  CHECK(run.warnings.empty());
}

TEST_CASE("checkpoint: unsupported format version -> ConfigError, not skipped as damaged") {
  Run run;
  run.save(10);
  run.save(20);
  auto json = nlohmann::json::parse(read_file(run.file(20, manifest)));
  json["format"] = 3;
  json["program"] = "colonnade 9.0";
  json.erase("crc32");
  auto const contents = json.dump();
  train::Digest digest;
  digest.add(contents.data(), contents.size());
  char crc32[9];
  std::snprintf(crc32, sizeof crc32, "%08x", digest.crc32);
  json["crc32"] = crc32;
  write_file(run.file(20, manifest), json.dump());
  CHECK_THAT(refusal<train::ConfigError>(run),
             Contains("format version 3, written by colonnade 9.0"));
}

TEST_CASE("checkpoint: keep = n -> the newest n remain") {
  Run run;
  for (int64_t step = 1; step <= 4; ++step) run.save(step, 2);
  CHECK(run.names() == Names{"step-00000003", "step-00000004"});
  run.save(100'000'000, 2);
  CHECK(run.names() == Names{"step-00000004", "step-100000000"});
  CHECK(run.load()->step == 100'000'000);
  run.save(100'000'001, 1);
  CHECK(run.names() == Names{"step-100000001"});
  CHECK_THROWS_AS(train::Checkpoints(run.folder, run.self, 0), core::Error);
}

TEST_CASE("checkpoint: save after a skipped damaged checkpoint -> the later step is removed") {
  Run run;
  run.save(10);
  run.save(20);
  write_file(run.file(20, trunk), "");
  CHECK(run.load()->step == 10);
  run.save(15, 1);
  CHECK(run.names() == Names{"step-00000015"});
  CHECK(run.load()->step == 15);
}

TEST_CASE("checkpoint: partial folders of a crash -> ignored, removed by the next save") {
  Run run;
  run.save(10);
  for (auto const* name : {".step-00000020.partial", ".step-00000011.partial"}) {
    fs::create_directory(run.folder / name);
    write_file(run.folder / name / manifest, read_file(run.file(10, manifest)));
  }
  CHECK(run.load()->step == 10);
  run.save(20);
  CHECK(run.names() == Names{"step-00000010", "step-00000020"});
  CHECK(run.load()->step == 20);
}

TEST_CASE("checkpoint: the same step saved again -> replaced") {
  Run run;
  run.save(10);
  run.save(20);
  run.save(20, 3, 21);
  CHECK(run.names() == Names{"step-00000010", "step-00000020"});
  CHECK(run.load()->step == 20);
  CHECK(run.state.holds(21));

  fs::rename(run.folder / "step-00000020", run.folder / "step-00000020.old");
  CHECK(run.load()->step == 20);
  CHECK(run.state.holds(21));

  run.save(20, 3, 22);
  fs::copy(run.folder / "step-00000010", run.folder / "step-00000020.old");
  CHECK(run.load()->step == 20);
  CHECK(run.state.holds(22));
  run.save(20, 3, 23);
  CHECK(run.names() == Names{"step-00000010", "step-00000020"});
  CHECK(run.load()->step == 20);
  CHECK(run.state.holds(23));
}

TEST_CASE("checkpoint: path with '..' or a trailing slash -> the same folder") {
  Run run;
  run.save(10);
  auto const kept = run.folder;
  run.folder = kept.string() + "/../checkpoints/";
  CHECK(run.load()->step == 10);
  run.folder = kept / "deep" / "deeper/";
  run.save(10);
  CHECK(run.load()->step == 10);
}
