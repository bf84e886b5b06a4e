#pragma once
#include <catch2/catch.hpp>
#include <cstdio>
#include <sys/wait.h>
#include "tests/support/paths.h"

/// Runs of the program under test.
namespace tests {

/// Output of a command, from both streams, and its exit code.
struct Ran {
  int code;
  std::string out;
  bool says(std::string const& text) const { return out.find(text) != std::string::npos; }
};

inline Ran shell(std::string const& command) {
  std::FILE* const pipe = popen((command + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  Ran ran{-1, ""};
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) ran.out += static_cast<char>(c);
  int const status = pclose(pipe);
  if (WIFEXITED(status)) ran.code = WEXITSTATUS(status);
  return ran;
}

inline Ran colonnade(std::string const& arguments) { return shell(program() + " " + arguments); }

inline Ran on_two_ranks(std::string const& arguments) {
  return shell("mpirun -n 2 " + program() + " " + arguments);
}

/// An experiment of three short steps.
inline std::string const tiny =
    "run: {steps: 3, log_every: 1}\n"
    "data: {global_batch_size: 4, classes: 10, samples: 8, height: 8, width: 8, channels: 1}\n"
    "model: {trunk: conv, width: 2, stride: 4}\n";

}  // namespace tests
