#pragma once
#include "train/data/dataset.h"

/// The kinds of input behind open_task, a file each.
namespace train {

Task open_synthetic(DataConfig const& config, uint64_t seed);
Task open_safetensors(DataConfig const& config);
Task open_idx(DataConfig const& config);
/// Without the training images.
Task open_safetensors_evaluation(DataConfig const& config, int64_t classes);
Task open_idx_evaluation(DataConfig const& config, int64_t classes);
Task open_glyphs(GlyphsConfig const& config);
Task open_words(WordsConfig const& config);

/// Makes the labels of a file those of a Dataset: `ignore_index` becomes Dataset::ignored. Returns
/// the classes: `given`, or the largest label + 1 where that is 0. Throws BadData naming `path` and
/// the first label outside [0, classes), or where no image counts.
int64_t adopt_labels(std::vector<int64_t>& labels, std::optional<int64_t> given,
                     int64_t ignore_index, std::string const& path);

/// Pixels of 8 bits as value / 255.
inline void to_float(uint8_t const* bytes, int64_t count, float* pixels) {
  for (int64_t i = 0; i < count; ++i) pixels[i] = static_cast<float>(bytes[i]) / 255.0f;
}

}  // namespace train
