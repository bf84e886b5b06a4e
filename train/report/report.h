#pragma once
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iosfwd>
#include <optional>
#include <string>
#include "train/evaluation/evaluate.h"

namespace train {

/// Where a person reads about a run.
struct Console {
  std::ostream& out;
  bool redraw = false;  ///< draw progress over itself in one line, for a terminal
};

/// The constants of a run.
struct RunFacts {
  std::filesystem::path out;  ///< folder of the run
  std::string device, precision;
  int ranks = 1;
  core::ImageShape image;
  int64_t classes = 0, samples = 0;
  int64_t steps = 0, steps_per_epoch = 0;
  int64_t first_step = 0;  ///< steps already done when resuming
};

/// A logged step, and the window of steps since the logged step before it.
struct StepFacts {
  int64_t step = 0;      ///< steps done, this one included
  int64_t epoch = 0;     ///< epoch of the step, from 0
  double loss = 0;       ///< loss of this step
  double mean_loss = 0;  ///< mean over the window, of the finite losses
  double lr = 0;         ///< learning rate of this step
  int64_t memory = 0;    ///< peak bytes of the device's tensors, this rank
};

/// Reports progress to the console and to metrics.jsonl: one JSON line for each logged step,
/// evaluated split and note. Only the rank with a console writes.
/// Throws: IoError if the file cannot be written.
class Report {
 public:
  /// `metrics`: metrics.jsonl, appended to. Without a console nothing is written.
  Report(std::filesystem::path metrics, std::optional<Console> console);
  ~Report();
  Report(Report const&) = delete;
  Report& operator=(Report const&) = delete;

  /// Prints the constants of the run. Removes metrics of steps after facts.first_step, which a
  /// resumed run repeats.
  void begin(RunFacts const& facts);
  /// Adds a step's samples to the window.
  void trained(int64_t samples) { samples_ += samples; }
  /// Adds time that the training loop waited for data to the window, in seconds.
  void waited(double seconds) { waited_ += seconds; }
  void step(StepFacts const& facts);
  void score(int64_t step, int64_t epoch, Score const& score);
  void note(std::string const& text);
  /// Stops the window's clock, for work that is not training, until `resume`.
  void pause();
  void resume();
  /// Prints the closing line: time, best score, folder.
  void end();

 private:
  using Clock = std::chrono::steady_clock;

  /// The best top-1 of the first evaluated split.
  struct Best {
    Score score;
    int64_t step;
  };

  void remove_after(int64_t step);
  void write(std::string const& line);
  void print(std::string const& line);
  std::string progress(StepFacts const& facts, double samples_per_s, double data_wait) const;

  std::filesystem::path metrics_;
  std::optional<Console> console_;
  std::ofstream file_;
  RunFacts facts_;
  Clock::time_point began_{};
  std::optional<Best> best_;
  int64_t samples_ = 0;  ///< samples in the window
  double seconds_ = 0;   ///< training time in the window, up to `since_`
  double waited_ = 0;    ///< seconds of it spent waiting for data
  std::optional<Clock::time_point> since_;
  double speed_ = 0;  ///< steps per second, smoothed
  int64_t last_step_ = 0;
  bool redrawing_ = false;  ///< the cursor is at the end of a progress line
};

/// Scores as a table, one line per split. `baseline`, if given, has the same splits in order.
std::string score_table(std::vector<Score> const& scores, std::vector<Score> const& baseline = {},
                        std::string const& baseline_name = "");

}  // namespace train
