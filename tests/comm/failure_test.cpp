// One rank of a run fails while the others wait for it. The run must end soon, print the reason and
// return the exit code. The faults are in tests/support/faulty.cpp.
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
  CHECK(end.seconds < 15);  // about 1 s on an idle machine
  return end;
}

}  // namespace

TEST_CASE("run: no fault -> exit code 0") { CHECK(run("nothing").exit_code == 0); }

TEST_CASE("run: one rank throws -> run ends with its message and exit code") {
  auto const fault = GENERATE("throws", "throws_with_collectives_under_way");
  End const end = run(fault);
  CHECK(end.exit_code == 70);
  CHECK_THAT(end.output, Contains("rank 1: deliberate failure on rank 1"));
}

TEST_CASE("run: gradient missing on one rank -> run ends and names the parameter") {
  End const end = run("lacks_a_gradient");
  CHECK(end.exit_code == 70);
  CHECK_THAT(end.output, Contains("rank 1: missing gradient of p1"));
}

TEST_CASE("run: one rank in another collective -> run ends and names the rank") {
  End const end = run("calls_something_else");
  CHECK(end.exit_code == 70);
  CHECK_THAT(end.output, Contains("in all_reduce of f64: rank 1 is in broadcast of f64"));
}

TEST_CASE("run: one rank hangs -> the others time out and name it") {
  End const end = run("hangs");
  CHECK(end.exit_code == 75);
  CHECK_THAT(end.output, Contains("all_reduce of f64: no message from rank 1 for 2 s"));
}

TEST_CASE("run: one rank is killed -> run ends with the exit code of the signal") {
  CHECK(run("is_killed").exit_code == 128 + 9);
}

TEST_CASE("run: all ranks throw, or the only one -> run ends with the message") {
  int const ranks = GENERATE(1, 3);
  End const end = run("all_throw", ranks);
  CHECK(end.exit_code == 70);
  CHECK_THAT(end.output, Contains("all ranks throw"));
}
