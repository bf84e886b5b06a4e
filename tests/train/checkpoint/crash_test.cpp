#include <csignal>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "comm/self.h"
#include "tests/support/device.h"
#include "tests/train/checkpoint/state.h"
#include "train/errors.h"

using Catch::Contains;

namespace fs = std::filesystem;

namespace {

struct Run {
  comm::Self self;
  tests::TemporaryFolder temporary;
  fs::path folder = temporary.path() / "checkpoints";
  tests::CheckpointState state{tests::host(), 0, 7};
  train::Checkpoints checkpoints{folder, self, 1};

  void save(int64_t step, int64_t number) {
    state.fill(number);
    checkpoints.save(state.snapshot, {step, 0, 0});
  }

  /// Loads the newest checkpoint and returns its number, which must be `a` or `b`.
  int64_t load(int64_t a, int64_t b) {
    state.fill(-1);
    auto const at = checkpoints.load(
        state.snapshot, [](std::string const& text) { FAIL_CHECK("damaged: " << text); });
    REQUIRE(at.has_value());
    REQUIRE((state.holds(a) || state.holds(b)));
    return state.holds(a) ? a : b;
  }

  int64_t entries() const {
    return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
  }
};

/// Runs `work` in a child process and kills it at system call number `calls`. Returns false if
/// the child ended before.
template <class F>
bool killed_after(int calls, F const& work) {
  pid_t const child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    work();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  REQUIRE(WIFSTOPPED(status));
  // ptrace stops the child twice for each call: at entry and at exit.
  for (int stops = 0; stops < 2 * calls - 1 && WIFSTOPPED(status); ++stops) {
    REQUIRE(ptrace(PTRACE_SYSCALL, child, nullptr, nullptr) == 0);
    waitpid(child, &status, 0);
  }
  if (!WIFSTOPPED(status)) {
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    return false;
  }
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  return true;
}

/// Kills a save at each of its system calls. Afterwards the old or the new state must load, and
/// the next save must remove all remains of the killed one.
void survives_a_kill_at_any_call(int64_t old_step, int64_t new_step) {
  Run run;
  int olds = 0, news = 0;
  bool killed = true;
  for (int calls = 1; killed; ++calls) {
    INFO("killed at system call " << calls);
    fs::remove_all(run.folder);
    run.save(old_step, 1);
    killed = killed_after(calls, [&] { run.save(new_step, 2); });
    (run.load(1, 2) == 1 ? olds : news) += 1;
    run.save(new_step, 3);
    CHECK(run.load(3, 3) == 3);
    CHECK(run.entries() == 1);
    REQUIRE(calls < 10'000);
  }
  CHECK(olds > 20);  // each file is created, written, synced and closed before the rename
  CHECK(news > 2);   // the old checkpoint is removed after the rename
}

/// Limits the size of files: longer writes fail after a short write, as on a full disk.
class FileLimit {
 public:
  explicit FileLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit const limit{bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit before_{};
};

}  // namespace

TEST_CASE("checkpoint: save killed at any system call -> old or new state loads") {
  survives_a_kill_at_any_call(10, 20);
}

TEST_CASE("checkpoint: replacing save killed at any system call -> old or new state loads") {
  survives_a_kill_at_any_call(10, 10);
}

TEST_CASE("checkpoint: failed write -> IoError, old checkpoint is kept") {
  Run run;
  run.save(10, 1);
  uintmax_t longest = 0;
  for (auto const& entry : fs::recursive_directory_iterator(run.folder))
    if (entry.is_regular_file()) longest = std::max(longest, entry.file_size());
  for (uintmax_t limit = 0; limit < longest; limit += 9) {
    std::string text;
    {
      FileLimit const full(limit);
      text = tests::thrown<train::IoError>([&] { run.save(20, 2); });
    }
    CHECK_THAT(text, Contains("rank 0: cannot write") && Contains("step-00000020") &&
                         Contains("File too large"));
    CHECK(run.entries() == 1);
    CHECK(run.load(1, 1) == 1);
  }
  run.save(20, 2);
  CHECK(run.load(2, 2) == 2);
}

TEST_CASE("checkpoint: folder cannot be created -> IoError with its path") {
  Run run;
  tests::write_file(run.folder, "in the way");
  auto const text = tests::thrown<train::IoError>([&] { run.save(10, 1); });
  CHECK_THAT(text,
             Contains("rank 0: ") && Contains(run.folder.string()) && Contains("Not a directory"));
  CHECK(tests::read_file(run.folder) == "in the way");
}
