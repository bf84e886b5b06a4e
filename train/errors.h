#pragma once
#include "core/check.h"

namespace train {

/// Exit codes of the program. Values are those of sysexits.h where it defines one.
enum class Exit {
  done = 0,
  usage = 2,  ///< invalid command line or configuration
  bad_data = 65,
  missing_input = 66,
  internal = 70,  ///< internal error, or the training diverged
  out_of_memory = 71,
  io = 74,
  requeue = 75,  ///< stopped early; the run can be resumed
};

/// An error that carries the exit code of the program.
struct RunError : core::Error {
  RunError(Exit code, std::string const& text) : core::Error(text), exit(code) {}
  Exit exit;
};

/// The command line or the configuration is invalid. The message lists every mistake.
struct ConfigError : RunError {
  explicit ConfigError(std::string const& text) : RunError(Exit::usage, text) {}
};

/// A file is damaged, or a label is out of range.
struct BadData : RunError {
  explicit BadData(std::string const& text) : RunError(Exit::bad_data, text) {}
};

/// A file or font does not exist.
struct MissingInput : RunError {
  explicit MissingInput(std::string const& text) : RunError(Exit::missing_input, text) {}
};

/// The loss became NaN or infinite.
struct Diverged : RunError {
  explicit Diverged(std::string const& text) : RunError(Exit::internal, text) {}
};

/// An I/O operation failed: disk full, permission denied, or a broken device.
struct IoError : RunError {
  explicit IoError(std::string const& text) : RunError(Exit::io, text) {}
};

}  // namespace train
