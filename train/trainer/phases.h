#pragma once
#include <functional>
#include <string>
#include <vector>
#include "core/device.h"

namespace train {

/// Wall-clock time of named phases, summed over steps.
///
/// A phase lasts until the next one begins, or until the step ends. The device is synchronized at
/// each switch, so queued work counts in the phase that queued it. Phases therefore do not overlap,
/// and their sum is an upper bound of the time of a step without profiling. Without a device, every
/// call returns immediately.
class Phases {
 public:
  using Clock = std::function<double()>;  ///< monotonic time in seconds

  Phases() = default;
  explicit Phases(core::Device& device);
  Phases(core::Device& device, Clock clock);

  bool enabled() const { return device_ != nullptr; }

  /// Ends the current phase and begins the phase `name`. A phase may occur several times in a step.
  void begin(char const* name) {
    if (device_ != nullptr) change(name);
  }

  /// Ends the current phase and the step. The time until the next `begin` is not counted.
  void end_step();

  /// Resets all times, to exclude warm-up steps.
  void clear();

  struct Row {
    std::string phase;
    double milliseconds;  ///< mean milliseconds per step
    double share;         ///< fraction of the time of all phases, in [0, 1]
  };
  /// Returns the phases in the order of their first use; empty before the first step has ended.
  std::vector<Row> rows() const;

  /// Returns the rows as a table with headings and a sum; "" if there are no rows.
  std::string table() const;

 private:
  struct Phase {
    std::string name;
    double seconds;
  };
  void change(char const* name);

  static constexpr size_t none = static_cast<size_t>(-1);

  core::Device* device_ = nullptr;
  Clock clock_;
  std::vector<Phase> phases_;
  size_t current_ = none;
  double since_ = 0;
  int64_t steps_ = 0;
};

}  // namespace train
