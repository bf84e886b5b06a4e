#pragma once
#include <filesystem>
#include "train/evaluation/evaluate.h"

namespace train {

/// A sample of a split with its prediction.
struct Shown {
  Split const* split;
  Prediction prediction;
};

/// Writes a PNG picture of predictions. Each split is a band with its name, and each sample a
/// column of up to three images: the sample; a training image of the predicted class, with a green
/// frame if the prediction is correct and a red one if not; and, if it is not, a training image of
/// the true class. The training image of a class is the first one in the data set. Text is written
/// if the system has a font. Splits are in the order of their first sample.
/// Throws: IoError if the file cannot be written; core::Error if `samples` is empty.
void draw_predictions(std::filesystem::path const& png, Task const& task,
                      std::vector<Shown> const& samples);

/// A random selection of samples of a split, without repetition. It depends only on `seed` and the
/// size of the split, so the selection is unbiased and repeatable. Pass every prediction of
/// `evaluate` to `see`, which keeps those of selected samples.
class SampleDraw {
 public:
  /// Selects `count` samples; all if the split has fewer.
  SampleDraw(Split const& split, int64_t count, uint64_t seed);

  /// The selected samples, in the order of selection.
  std::vector<int64_t> const& samples() const { return samples_; }

  /// Keeps a prediction of this rank if its sample is selected.
  void see(Prediction const& prediction);

  /// Returns the predictions that all ranks kept, in the order of selection, the same on every
  /// rank. The result refers to the split. Collective.
  std::vector<Shown> gather(core::Device& device, comm::Communicator& ranks) const;

 private:
  Split const& split_;
  std::vector<int64_t> samples_;
  std::vector<Prediction> seen_;
};

}  // namespace train
