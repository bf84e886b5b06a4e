#pragma once
#include <filesystem>
#include "train/evaluation/evaluate.h"

namespace train {

/// A sample of a split with what the model made of it.
struct Shown {
  Split const* split;
  Prediction prediction;
};

/// Writes a PNG: a band a split, headed by its name, with a column a sample: the sample; a training
/// image of the class predicted, framed green where that is right and red where not; and then one
/// of the right class. A class's training image is the first of it that the set has. Names are
/// written where the system has a font. Splits keep the order of their first sample. Throws
/// IoError.
void draw_predictions(std::filesystem::path const& png, Task const& task,
                      std::vector<Shown> const& samples);

/// Which samples of a split to show: a draw without repetition that depends on `seed` and the
/// split's size alone, so that nobody has picked them and another run shows the same. Told of every
/// prediction by evaluate, it keeps those it drew.
class SampleDraw {
 public:
  /// Draws `count` samples, or all where there are fewer.
  SampleDraw(Split const& split, int64_t count, uint64_t seed);

  /// In the order drawn.
  std::vector<int64_t> const& samples() const { return samples_; }

  /// Takes a prediction of this rank.
  void see(Prediction const& prediction);

  /// What the ranks have seen of the samples drawn, in the order drawn. Collective; the same on
  /// every rank. They refer to the split.
  std::vector<Shown> gather(core::Device& device, comm::Communicator& ranks) const;

 private:
  Split const& split_;
  std::vector<int64_t> samples_;
  std::vector<Prediction> seen_;
};

}  // namespace train
