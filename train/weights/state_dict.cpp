#include "train/weights/state_dict.h"
#include <algorithm>
#include "comm/communicator.h"

namespace train {
namespace {

/// Transposes every row from (a, b) to (b, a).
std::vector<float> swap_axes(std::vector<float> const& values, int64_t rows, int64_t a, int64_t b) {
  std::vector<float> swapped;
  swapped.reserve(values.size());
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t j = 0; j < b; ++j)
      for (int64_t i = 0; i < a; ++i)
        swapped.push_back(values[static_cast<size_t>((row * a + i) * b + j)]);
  return swapped;
}

/// h * w of the images that rows with these values are multiplied with.
int64_t pixels(std::vector<float> const& values, int64_t rows, int64_t channels) {
  return static_cast<int64_t>(values.size()) / std::max<int64_t>(rows, 1) / channels;
}

}  // namespace

TensorDeclaration in_file(core::Parameter const& p) {
  bool const counts = p.value.dtype() == core::Dtype::i64;
  TensorDeclaration tensor{p.name, counts ? core::Dtype::i64 : core::Dtype::f32, p.value.shape()};
  if (auto& s = tensor.shape; s.size() == 4) s = {s[0], s[3], s[1], s[2]};
  return tensor;
}

int64_t channels_of(core::Parameter const& p) {
  return p.value.shape().size() == 4 ? p.value.size(3) : p.channels;
}

std::vector<float> channels_first(std::vector<float> values, int64_t rows, int64_t channels) {
  if (channels == 0) return values;
  return swap_axes(values, rows, pixels(values, rows, channels), channels);
}

std::vector<float> channels_last(std::vector<float> values, int64_t rows, int64_t channels) {
  if (channels == 0) return values;
  return swap_axes(values, rows, channels, pixels(values, rows, channels));
}

std::string classifier_prefix(layers::Trunk& trunk) {
  auto const all = layers::parameters(trunk);
  bool const taken = std::ranges::any_of(all, [](auto const* p) { return p->name == "fc.weight"; });
  return taken ? "" : "fc.";
}

Part part_of(HeadKind kind, int64_t classes, int64_t features, int rank, int ranks) {
  bool const by_class = kind != HeadKind::row_parallel;
  auto const counts = comm::split_evenly(by_class ? classes : features, ranks);
  int64_t const begin = comm::begin_of(counts, rank), count = counts[static_cast<size_t>(rank)];
  return by_class ? Part{begin, count, 0, features} : Part{0, classes, begin, count};
}

}  // namespace train
