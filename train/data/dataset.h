#pragma once
#include <functional>
#include <memory>
#include "core/image_shape.h"
#include "train/config/experiment.h"
#include "train/errors.h"

namespace train {

/// One split of a data set: images of one size with class labels, in a fixed order. All methods are
/// thread-safe.
class Dataset {
 public:
  /// Label of an image that is excluded from the loss and from scores.
  static constexpr int64_t ignored = -1;

  virtual ~Dataset() = default;
  virtual core::ImageShape shape() const = 0;
  virtual int64_t size() const = 0;
  /// Class label of an image: in [0, Task::classes), or `ignored`.
  virtual int64_t label(int64_t index) const = 0;
  /// Writes the pixels of an image to `pixels`, (H, W, Ch); 8-bit pixels as value / 255.
  /// Throws: BadData or IoError if the image cannot be read.
  virtual void read(int64_t index, float* pixels) const = 0;
};

/// A split and its name in reports: "train", "test", or the name of a font.
struct Split {
  std::string name;
  std::shared_ptr<Dataset const> data;
};

/// Training and evaluation data of an experiment.
struct Task {
  int64_t classes = 0;
  Split train;
  std::vector<Split> evaluation;                   ///< may be empty
  std::function<std::string(int64_t)> class_name;  ///< display name of a class; may be empty
};

/// Opens the data of an experiment.
/// Throws: ConfigError; MissingInput or BadData with the file; IoError.
Task open_task(DataConfig const& config, uint64_t seed);

/// Opens the evaluation splits alone, for a model of `classes` classes. Files of training images
/// are not read: `train.data` is null where the kind has such files (safetensors, idx).
/// Throws: as open_task, and ConfigError where the data have another number of classes.
Task open_evaluation(DataConfig const& config, uint64_t seed, int64_t classes);

}  // namespace train
