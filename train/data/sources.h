#pragma once
#include "train/data/dataset.h"

/// Implementations of open_task, one file for each value of data.kind.
namespace train {

Task open_synthetic(DataConfig const& config, uint64_t seed);
Task open_safetensors(DataConfig const& config);
Task open_idx(DataConfig const& config);
/// Without the training images.
Task open_safetensors_evaluation(DataConfig const& config, int64_t classes);
Task open_idx_evaluation(DataConfig const& config, int64_t classes);
Task open_glyphs(GlyphsConfig const& config);
Task open_words(WordsConfig const& config);

/// Validates the labels of a file and replaces `ignore_index` by Dataset::ignored. Returns the
/// number of classes: `given`, or the largest label + 1 if `given` is empty.
/// Throws: BadData with `path` if a label is outside [0, classes), there are no images, or every
/// label is `ignore_index`.
int64_t adopt_labels(std::vector<int64_t>& labels, std::optional<int64_t> given,
                     int64_t ignore_index, std::string const& path);

/// Converts 8-bit pixels to value / 255.
inline void to_float(uint8_t const* bytes, int64_t count, float* pixels) {
  for (int64_t i = 0; i < count; ++i) pixels[i] = static_cast<float>(bytes[i]) / 255.0f;
}

}  // namespace train
