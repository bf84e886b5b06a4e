#include <algorithm>
#include "train/data/sources.h"

namespace train {

Task open_task(DataConfig const& config, uint64_t seed) {
  switch (config.kind) {
    case DataKind::synthetic:
      return open_synthetic(config, seed);
    case DataKind::arrays:
      return open_arrays(config);
    case DataKind::idx:
      return open_idx(config);
    case DataKind::glyphs:
      return open_glyphs(config.glyphs);
    case DataKind::words:
      return open_words(config.words);
  }
  core::fail("unknown kind of data");
}

int64_t count_classes(std::vector<int64_t> const& labels, int64_t given, std::string const& path) {
  if (labels.empty()) throw BadData(core::join(path, ": no images"));
  int64_t const largest = *std::max_element(labels.begin(), labels.end());
  int64_t const classes = given > 0 ? given : largest + (largest < INT64_MAX);
  for (size_t i = 0; i < labels.size(); ++i)
    if (labels[i] < 0 || labels[i] >= classes)
      throw BadData(core::join(path, ": label ", labels[i], " of image ", i, " is outside [0, ",
                               classes, ")"));
  return classes;
}

}  // namespace train
