#pragma once
#include <functional>
#include <string>

namespace tests {

/// What a command line asks for.
struct Asked {
  std::string device;        ///< the name of the device under test
  std::function<int()> run;  ///< runs the tests asked for; gives how many failed, at most 255
};

/// Reads Catch's command line, with `--device NAME` beside its own options. Gives the exit code:
/// body's where tests are to be run, and otherwise that of help, a list or a complaint.
int command_line(int argc, char** argv, std::function<int(Asked const&)> const& body);

}  // namespace tests
