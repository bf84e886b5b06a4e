#pragma once
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iosfwd>
#include <optional>
#include <string>
#include "train/evaluation/evaluate.h"

namespace train {

/// Where reports go, and how.
struct ReportTarget {
  std::filesystem::path metrics;  ///< metrics.jsonl, appended to
  std::ostream* out;              ///< for people; null: nothing is written anywhere (rank > 0)
  bool terminal = false;          ///< the progress line is redrawn in place
};

/// What a run is, for its first lines.
struct RunFacts {
  std::string device, precision;
  int ranks = 1;
  int64_t classes = 0, samples = 0;
  int64_t steps = 0, steps_per_epoch = 0;
  int64_t first_step = 0;  ///< steps already done when resuming
};

/// A logged step.
struct StepFacts {
  int64_t step = 0, epoch = 0;
  double loss = 0, rate = 0;
};

/// Tells people and metrics.jsonl how a run goes: a line of JSON a logged step, evaluated split or
/// note; a progress line on a terminal, plain lines elsewhere. Throws IoError when the file cannot
/// be written.
class Report {
 public:
  explicit Report(ReportTarget target);
  ~Report();
  Report(Report const&) = delete;
  Report& operator=(Report const&) = delete;

  /// The head of a run. Metrics of steps after facts.first_step, left by a run that is resumed
  /// from before them, are removed.
  void begin(RunFacts const& facts);
  /// Counts samples for the rate.
  void trained(int64_t samples) { samples_ += samples; }
  void step(StepFacts const& facts);
  void score(int64_t step, int64_t epoch, Score const& score);
  void note(std::string const& text);
  /// What follows is not training: until `go_on`, time does not count in the rate.
  void pause();
  void go_on();

 private:
  using Clock = std::chrono::steady_clock;
  void remove_after(int64_t step);
  void write(std::string const& line);
  void line(std::string const& text);

  ReportTarget target_;
  std::ofstream file_;
  RunFacts facts_;
  int64_t samples_ = 0;  ///< since the last logged step
  double seconds_ = 0;   ///< of training since then, up to `since_`
  std::optional<Clock::time_point> since_;
  double speed_ = 0;  ///< steps a second, smoothed
  int64_t last_step_ = 0;
  bool redrawing_ = false;  ///< the cursor stands behind a progress line
};

/// Scores as a table: a line a split; `baseline`, where given, has the same splits in order.
std::string score_table(std::vector<Score> const& scores, std::vector<Score> const& baseline = {},
                        std::string const& baseline_name = "");

}  // namespace train
