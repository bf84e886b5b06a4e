#include "train/report/terminal.h"
#include <algorithm>
#include <array>
#include <fcntl.h>
#include <fstream>
#include <string>
#include <string_view>
#include <unistd.h>

namespace train {
namespace {

constexpr std::array<std::string_view, 9> launchers{"mpirun",  "mpiexec",         "mpiexec.hydra",
                                                    "orterun", "prterun",         "orted",
                                                    "prted",   "hydra_pmi_proxy", "srun"};

std::string folder_of(pid_t process) { return "/proc/" + std::to_string(process); }

/// The parent of a process; 0 if there is none to be seen.
pid_t parent_of(pid_t process) {
  std::string line;
  std::getline(std::ifstream(folder_of(process) + "/stat"), line);
  // "PID (NAME) STATE PARENT ...", where NAME may hold spaces and parentheses.
  auto const end = line.rfind(") ");
  return end == std::string::npos ? 0 : static_cast<pid_t>(std::atoi(line.c_str() + end + 4));
}

std::string name_of(pid_t process) {
  std::string name;
  std::getline(std::ifstream(folder_of(process) + "/comm"), name);
  return name;
}

/// The nearest ancestor that is a launcher; 0 if none is.
pid_t launcher() {
  for (pid_t process = getppid(); process > 1; process = parent_of(process))
    if (std::ranges::find(launchers, name_of(process)) != launchers.end()) return process;
  return 0;
}

}  // namespace

bool on_terminal(bool launched) {
  if (!launched) return isatty(STDOUT_FILENO) == 1;
  pid_t const process = launcher();
  if (process == 0) return false;
  int const output = open((folder_of(process) + "/fd/1").c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC);
  if (output < 0) return false;
  bool const terminal = isatty(output) == 1;
  close(output);
  return terminal;
}

}  // namespace train
