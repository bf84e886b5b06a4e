// Failures of NCCL in runs of the program on two ranks: each ends all ranks, with a message and the
// exit code of the failure.
#include <chrono>
#include "tests/train/commands/cli.h"
#include "tests/train/files.h"

using Catch::Contains;

namespace {

/// Seven steps on two ranks: three warm-up steps, a captured one, a replay, a step with a smaller
/// batch, and a replay.
constexpr char const* experiment =
    "device: cuda\n"
    "precision: f32\n"
    "run: {steps: 7, log_every: 1, timeout: 2}\n"
    "data: {global_batch_size: 4, classes: 5, samples: 22, height: 8, width: 8, channels: 1}\n"
    "model: {trunk: conv, width: 2, stride: 4}\n";

struct End {
  tests::Ran ran;
  double seconds;
};

/// Trains with the failure that COLONNADE_FAKE_NCCL describes.
End train(tests::TemporaryFolder const& folder, std::string const& failure) {
  auto const begin = std::chrono::steady_clock::now();
  auto const path = folder.file("a.yaml");
  tests::write_file(path, experiment);
  auto ran =
      tests::shell("COLONNADE_FAKE_NCCL=" + failure + " mpirun -n 2 " COLONNADE_FAKED " train " +
                   path + " --overwrite run.out=" + folder.file("run"));
  std::chrono::duration<double> const took = std::chrono::steady_clock::now() - begin;
  return {std::move(ran), took.count()};
}

std::string at(int64_t n, std::string const& way, int rank) {
  return "fail_at:" + std::to_string(n) + ",way:" + way + ",rank:" + std::to_string(rank);
}

}  // namespace

TEST_CASE("program: the n-th collective of rank 0 fails, for each n of a run -> ends within 5 s",
          "[failures]") {
  tests::TemporaryFolder const folder;
  End const whole = train(folder, "fail_at:0");
  INFO(whole.ran.out);
  REQUIRE(whole.ran.code == 0);
  std::vector<std::string> const ways{"refused", "reported", "remote"};
  int64_t n = 1;
  for (int code = 1; code != 0; ++n) {
    auto const& way = ways[static_cast<size_t>(n) % ways.size()];
    End const end = train(folder, at(n, way, 0));
    INFO("call " << n << ", " << way << ", " << end.seconds << " s of " << whole.seconds << '\n'
                 << end.ran.out);
    code = end.ran.code;
    CHECK((code == 0 || code == 70));
    CHECK((code == 0 || end.ran.says("colonnade: error: ")));
    CHECK(end.seconds < whole.seconds + 5);
    REQUIRE(n < 200);
  }
  CHECK(n > 30);  // the calls of a run
}

TEST_CASE("program: one rank hangs, eager or in a recorded step -> the other notices in time",
          "[failures]") {
  tests::TemporaryFolder const folder;
  int const rank = GENERATE(0, 1);
  auto const [n, after, name] = GENERATE(
      table<int, int, std::string>({{3, 0, "on rank 0 of 2"}, {20, 1, "a recorded step"}}));
  End const end = train(folder, at(n, "hang", rank) + ",after:" + std::to_string(after));
  INFO(end.ran.out);
  CHECK(end.ran.code == 75);
  CHECK(end.ran.says(name));
  CHECK(end.ran.says("still running after 2 s"));
  CHECK(end.seconds < 15);
}
