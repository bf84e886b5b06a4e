#include <algorithm>
#include "tests/train/commands/cli.h"
#include "tests/train/files.h"

/// Output of the program on terminals, into files, and from ranks.
namespace tests {
namespace {

constexpr char const* clear_line = "\r\033[K";

/// Runs a command whose standard output is a terminal.
Ran in_terminal(std::string const& command) {
  return shell("script -qec '" + command + "' /dev/null < /dev/null");
}

/// A short training with its arguments; its output goes to `log` if one is given.
struct Training {
  TemporaryFolder folder;
  std::string config = folder.file("tiny.yaml"), log = folder.file("log");
  std::string command =
      program() + " train " + config + " --overwrite run.out=" + folder.file("run");

  Training() { write_file(config, tiny); }
  std::string logged() const { return read_file(log); }
};

bool plain(std::string const& text) {
  return text.find_first_of("\r\033") == std::string::npos &&
         text.find("epoch 1/2  step 1/3  loss ") != std::string::npos;
}

}  // namespace

TEST_CASE("terminal: one process -> progress in one line; into a file -> plain lines", "[cli]") {
  Training const training;
  auto const watched = in_terminal(training.command);
  INFO(watched.out);
  CHECK(watched.code == 0);
  CHECK(watched.says(std::string(clear_line) + "epoch 1/2  step 1/3  loss "));
  CHECK(in_terminal(training.command + " > " + training.log).code == 0);
  CHECK(plain(training.logged()));
  CHECK(shell(training.command + " | cat > " + training.log).code == 0);
  CHECK(plain(training.logged()));
}

TEST_CASE("terminal: run.progress -> line or plain, whatever the output is", "[cli]") {
  Training const training;
  auto const plain_lines = in_terminal(training.command + " run.progress=plain");
  CHECK(plain_lines.code == 0);
  CHECK_FALSE(plain_lines.says(clear_line));
  auto const redrawn = shell(training.command + " run.progress=line");
  CHECK(redrawn.code == 0);
  CHECK(redrawn.says(clear_line));
}

TEST_CASE("terminal: ranks -> the output of mpirun decides, also behind wrappers", "[cli]") {
  Training const training;
  auto const wrapped = "sh -c \"" + training.command + "; exit \\$?\"";
  for (auto const& ranks : {training.command, wrapped}) {
    auto const command = "mpirun -n 2 " + ranks;
    auto const watched = in_terminal(command);
    INFO(watched.out);
    CHECK(watched.code == 0);
    CHECK(watched.says(clear_line));
    CHECK(in_terminal(command + " > " + training.log).code == 0);
    CHECK(plain(training.logged()));
    // A process between the shell and mpirun, as `time` is one.
    CHECK(in_terminal("env sh -c \"mpirun -n 2 " + training.command + " > " + training.log +
                      "; exit \\$?\"")
              .code == 0);
    CHECK(plain(training.logged()));
  }
}

TEST_CASE("terminal: a run -> names its folder, and ends with a closing line", "[cli]") {
  Training const training;
  auto const ran = shell(training.command);
  CHECK(ran.out.starts_with("run " + training.folder.file("run") +
                            ": 10 classes, 8 training images of 8 x 8 x 1\n1 rank: CPU"));
  CHECK(ran.says("\ndone: 3 steps in "));
  CHECK(ran.out.ends_with("; " + training.folder.file("run") + "\n"));
}

TEST_CASE("terminal: an error on ranks -> its message is the only output", "[cli]") {
  auto const missing = on_two_ranks("train no/such.yaml");
  CHECK(missing.code == 66);
  CHECK(missing.out == "colonnade: error: cannot read the experiment file no/such.yaml\n");
  Training const training;
  auto const ran = shell("mpirun -n 2 " + training.command + " init.from=no-such.safetensors");
  CHECK(ran.code == 66);
  CHECK(ran.out.starts_with("colonnade: error: "));
  CHECK(std::ranges::count(ran.out, '\n') == 1);
}

}  // namespace tests
