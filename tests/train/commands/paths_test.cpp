#include <filesystem>
#include "tests/train/commands/cli.h"
#include "tests/train/files.h"
#include "train/formats/safetensors.h"

/// Paths of data and runs, relative and moved, and evaluation without the training data.
namespace tests {
namespace {

namespace fs = std::filesystem;

/// A file with eight images of 4 x 4 and labels below 4.
void write_images(std::string const& path) {
  std::vector<uint8_t> pixels(8 * 16);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(7 * i);
  std::vector<int64_t> const labels{0, 1, 2, 3, 3, 2, 1, 0};
  train::SafetensorsWriter file(
      path, {{"images", core::Dtype::u8, {8, 4, 4, 1}}, {"labels", core::Dtype::i64, {8}}});
  file.append(pixels.data(), pixels.size());
  file.append(labels.data(), labels.size() * sizeof(int64_t));
  file.finish();
}

}  // namespace

TEST_CASE("paths: relative data, odd characters -> the run evaluates from anywhere", "[cli]") {
  TemporaryFolder folder;
  auto const home = folder.path() / "home # 1: \"it's\"";
  fs::create_directories(home);
  write_images(home / "train # a.safetensors");
  write_images(home / "test.safetensors");
  write_file(home / "tiny.yaml",
             "run: {steps: 2}\n"
             "data: {kind: safetensors, global_batch_size: 4, eval_path: test.safetensors}\n"
             "model: {trunk: conv, width: 2, stride: 2}\n");
  auto const in_home = "cd \"" + (folder.path() / "link").string() + "\" && ";
  fs::create_directory_symlink(home, folder.path() / "link");
  auto const trained =
      shell(in_home + program() + " train tiny.yaml run.out=run 'data.path=train # a.safetensors'");
  INFO(trained.out);
  REQUIRE(trained.code == 0);

  auto const scores = [](std::string const& command) {
    auto const ran = shell(command);
    INFO(ran.out);
    CHECK(ran.code == 0);
    return ran.out;
  };
  auto const expected = scores(in_home + program() + " eval run");
  fs::rename(home / "run", folder.path() / "moved");
  auto const moved = (folder.path() / "moved").string();
  CHECK(scores("cd / && " + program() + " eval " + moved) == expected);
  CHECK(scores("cd " + moved + " && " + program() + " eval .") == expected);

  // The training data are opened only on request.
  fs::remove(home / "train # a.safetensors");
  CHECK(scores(program() + " eval " + moved) == expected);
  auto const to = " --to " + folder.file("p.safetensors");
  CHECK(colonnade("predict " + moved + to).code == 0);
  CHECK(colonnade("predict " + moved + " --split train" + to).code == 66);
  auto const baseline = colonnade("eval " + moved + " --baseline");
  CHECK(baseline.code == 66);
  CHECK(baseline.says("train # a.safetensors"));
}

TEST_CASE("eval: images of another size than the model's -> both sizes named", "[cli]") {
  TemporaryFolder folder;
  write_images(folder.file("a.safetensors"));
  write_file(folder.file("tiny.yaml"), tiny);
  auto const out = folder.file("run");
  REQUIRE(colonnade("train " + folder.file("tiny.yaml") + " run.out=" + out).code == 0);
  auto const ran =
      colonnade("eval " + out + " data.kind=safetensors data.classes=auto data.path=" +
                folder.file("a.safetensors") + " data.eval_path=" + folder.file("a.safetensors"));
  CHECK(ran.code == 65);
  CHECK(ran.says("its images are 4 x 4 x 1, the model takes 8 x 8 x 1"));
}

}  // namespace tests
