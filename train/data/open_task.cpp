#include <algorithm>
#include <ranges>
#include "train/data/sources.h"

namespace train {

Task open_task(DataConfig const& config, uint64_t seed) {
  switch (config.kind) {
    case DataKind::synthetic:
      return open_synthetic(config, seed);
    case DataKind::safetensors:
      return open_safetensors(config);
    case DataKind::idx:
      return open_idx(config);
    case DataKind::glyphs:
      return open_glyphs(config.glyphs);
    case DataKind::words:
      return open_words(config.words);
  }
  core::fail("unknown data.kind");
}

Task open_evaluation(DataConfig const& config, uint64_t seed, int64_t classes) {
  if (config.kind == DataKind::safetensors) return open_safetensors_evaluation(config, classes);
  if (config.kind == DataKind::idx) return open_idx_evaluation(config, classes);
  auto task = open_task(config, seed);
  if (task.classes != classes)
    throw ConfigError(core::join("the data have ", task.classes, " classes, the model ", classes,
                                 ": evaluate with the fonts and word lists of the training"));
  return task;
}

int64_t adopt_labels(std::vector<int64_t>& labels, std::optional<int64_t> given,
                     int64_t ignore_index, std::string const& path) {
  if (labels.empty()) throw BadData(core::join(path, ": no images"));
  std::vector<size_t> counted;  // indices of the labels that are not ignored
  for (size_t i = 0; i < labels.size(); ++i)
    if (labels[i] != ignore_index) counted.push_back(i);
  if (counted.empty())
    throw BadData(core::join(path, ": every label is data.ignore_index, ", ignore_index));

  auto const label_at = [&labels](size_t i) { return labels[i]; };
  int64_t const largest = std::ranges::max(counted | std::views::transform(label_at));
  int64_t const classes = given.value_or(largest + (largest < INT64_MAX));
  for (size_t const i : counted)
    if (labels[i] < 0 || labels[i] >= classes)
      throw BadData(core::join(path, ": label ", labels[i], " of image ", i, " is outside [0, ",
                               classes, ") and is not data.ignore_index, ", ignore_index));
  std::ranges::replace(labels, ignore_index, Dataset::ignored);
  return classes;
}

}  // namespace train
