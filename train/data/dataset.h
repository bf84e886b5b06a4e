#pragma once
#include <functional>
#include <memory>
#include "core/image_shape.h"
#include "train/config/experiment.h"
#include "train/errors.h"

namespace train {

/// Images of one size, each with a class: one split of a data set, in a fixed order. Reading is
/// safe from several threads.
class Dataset {
 public:
  /// The label of an image that counts neither in the loss nor in scores.
  static constexpr int64_t ignored = -1;

  virtual ~Dataset() = default;
  virtual core::ImageShape shape() const = 0;
  virtual int64_t size() const = 0;
  /// In [0, classes of the task), or `ignored`.
  virtual int64_t label(int64_t index) const = 0;
  /// Writes shape().count() numbers, (H, W, Ch); 8-bit pixels as value / 255.
  virtual void read(int64_t index, float* pixels) const = 0;
};

/// A split under the name reports call it: "train", "test", a font.
struct Split {
  std::string name;
  std::shared_ptr<Dataset const> data;
};

/// What a task trains on and is measured on.
struct Task {
  int64_t classes = 0;
  Split train;
  std::vector<Split> evaluation;                   ///< may be empty
  std::function<std::string(int64_t)> class_name;  ///< for people; may be empty
};

/// Opens the data an experiment names. Throws MissingInput or BadData naming the file.
Task open_task(DataConfig const& config, uint64_t seed);

/// Opens the evaluation splits alone, for a model of `classes` classes. Files of training images
/// are not read: `train.data` is null where the kind has such files (safetensors, idx).
/// Throws: as open_task, and ConfigError where the data have another number of classes.
Task open_evaluation(DataConfig const& config, uint64_t seed, int64_t classes);

}  // namespace train
