// One rank of a run goes wrong while the others wait for it: the run must end, soon, with the
// reason said and the exit code given. The faults are in tests/support/faulty.cpp.
#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdio>
#include <string>
#include <sys/wait.h>

using Catch::Contains;

namespace {

struct End {
  int exit_code;
  std::string output;
  double seconds;
};

End run(std::string const& fault, int ranks = 3) {
  auto const begin = std::chrono::steady_clock::now();
  std::string const command = std::string(COLONNADE_MPIRUN) + " -n " + std::to_string(ranks) + " " +
                              COLONNADE_FAULTY + " " + fault + " 2>&1";
  std::FILE* const pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  End end{0, "", 0};
  std::array<char, 4096> text{};
  while (std::fgets(text.data(), text.size(), pipe) != nullptr) end.output += text.data();
  int const status = pclose(pipe);
  end.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  end.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  INFO(end.output);
  CHECK(end.seconds < 15);  // 1 on a machine that has nothing else to do
  return end;
}

}  // namespace

TEST_CASE("a run without a fault ends well") { CHECK(run("nothing").exit_code == 0); }

TEST_CASE("a rank that throws ends the run, with its message and exit code") {
  auto const fault = GENERATE("throws", "throws_with_collectives_under_way");
  End const end = run(fault);
  CHECK(end.exit_code == 70);
  CHECK_THAT(end.output, Contains("rank 1: deliberate failure on rank 1"));
}

TEST_CASE("a missing gradient on one rank ends the run") {
  End const end = run("lacks_a_gradient");
  CHECK(end.exit_code == 70);
  CHECK_THAT(end.output, Contains("rank 1: missing gradient of p1"));
}

TEST_CASE("a rank in another collective is named, and the run ends") {
  End const end = run("calls_something_else");
  CHECK(end.exit_code == 70);
  CHECK_THAT(end.output, Contains("in all_reduce of f64: rank 1 is in broadcast of f64"));
}

TEST_CASE("a rank that hangs is named by those that wait, and the run ends") {
  End const end = run("hangs");
  CHECK(end.exit_code == 75);
  CHECK_THAT(end.output, Contains("all_reduce of f64: no message from rank 1 for 2 s"));
}

TEST_CASE("a rank that is killed ends the run") { CHECK(run("is_killed").exit_code == 128 + 9); }

TEST_CASE("all ranks may throw at once, and one alone") {
  int const ranks = GENERATE(1, 3);
  End const end = run("all_throw", ranks);
  CHECK(end.exit_code == 70);
  CHECK_THAT(end.output, Contains("all ranks throw"));
}
