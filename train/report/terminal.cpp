#include "train/report/terminal.h"
#include <fcntl.h>
#include <fstream>
#include <string>
#include <unistd.h>

namespace train {
namespace {

bool is_launcher(std::string const& command) {
  return command == "mpirun" || command == "mpiexec" || command == "orterun" || command == "orted";
}

}  // namespace

bool on_terminal() {
  std::string const parent = "/proc/" + std::to_string(getppid());
  std::string command;
  std::ifstream(parent + "/comm") >> command;
  if (!is_launcher(command)) return isatty(STDOUT_FILENO) == 1;
  int const output = open((parent + "/fd/1").c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC);
  if (output < 0) return false;
  bool const terminal = isatty(output) == 1;
  close(output);
  return terminal;
}

}  // namespace train
