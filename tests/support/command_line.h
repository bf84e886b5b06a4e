#pragma once
#include <functional>
#include <string>

namespace tests {

/// The parsed command line.
struct Asked {
  std::string device;        ///< Name of the device under test.
  std::function<int()> run;  ///< Runs the selected tests; returns the number of failures, at most
                             ///< 255.
};

/// Parses Catch's command line, extended by `--device NAME`. Returns the exit code: that of `body`
/// if tests are to run, otherwise that of help, a listing or a usage error.
int command_line(int argc, char** argv, std::function<int(Asked const&)> const& body);

}  // namespace tests
