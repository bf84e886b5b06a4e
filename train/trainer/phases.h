#pragma once
#include <functional>
#include <string>
#include <vector>
#include "core/device.h"

namespace train {

/// Where the time of a step goes: wall-clock time by named phase, summed over steps.
///
/// A phase lasts from its begin to the next one, or the step's end. The device is waited for at
/// each switch, so that queued work counts where it was queued; that costs the overlap of phases,
/// and the sum is an upper bound of a step without profiling. Made without a device, every call
/// returns at once.
class Phases {
 public:
  using Clock = std::function<double()>;  ///< seconds, never going back

  Phases() = default;
  explicit Phases(core::Device& device);
  Phases(core::Device& device, Clock clock);

  bool enabled() const { return device_ != nullptr; }

  /// Ends the phase under way and begins the one of this name. A phase may come several times a
  /// step.
  void begin(char const* name) {
    if (device_ != nullptr) change(name);
  }

  /// Ends the phase under way and counts a step. What follows until the next begin is not counted.
  void end_step();

  /// Forgets what was counted: after the first steps, which warm up.
  void clear();

  struct Row {
    std::string phase;
    double milliseconds;  ///< a step, mean
    double share;         ///< of all phases, in [0, 1]
  };
  /// In the order the phases first came; empty before a step has ended.
  std::vector<Row> rows() const;

  /// The rows as text, with headings and a line of their sum. "" where there are none.
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
