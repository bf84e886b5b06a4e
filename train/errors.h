#pragma once
#include "core/check.h"

namespace train {

/// Exit codes of the program (sysexits.h where it has one).
enum class Exit {
  done = 0,
  usage = 2,  ///< command line or configuration
  bad_data = 65,
  missing_input = 66,
  internal = 70,  ///< or the training diverged
  out_of_memory = 71,
  io = 74,
  requeue = 75,  ///< stopped and safe to continue
};

/// An error that knows its exit code.
struct RunError : core::Error {
  RunError(Exit code, std::string const& text) : core::Error(text), exit(code) {}
  Exit exit;
};

/// The command line or the configuration is wrong; the message lists every mistake.
struct ConfigError : RunError {
  explicit ConfigError(std::string const& text) : RunError(Exit::usage, text) {}
};

/// A damaged file, or a label out of range.
struct BadData : RunError {
  explicit BadData(std::string const& text) : RunError(Exit::bad_data, text) {}
};

/// A file or font is not there.
struct MissingInput : RunError {
  explicit MissingInput(std::string const& text) : RunError(Exit::missing_input, text) {}
};

/// The loss is no number any more.
struct Diverged : RunError {
  explicit Diverged(std::string const& text) : RunError(Exit::internal, text) {}
};

/// Writing failed: disk full, permission, a broken device.
struct IoError : RunError {
  explicit IoError(std::string const& text) : RunError(Exit::io, text) {}
};

}  // namespace train
