#include "core/random.h"
#include "train/data/sources.h"

namespace train {
namespace {

/// Random noise with random labels, generated on demand. Nothing is stored, so a data set may have
/// any size.
class Synthetic final : public Dataset {
 public:
  Synthetic(DataConfig const& config, uint64_t seed)
      : shape_{config.height, config.width, config.channels},
        size_(config.samples),
        classes_(config.classes.value_or(0)),
        seed_(seed) {}

  core::ImageShape shape() const override { return shape_; }
  int64_t size() const override { return size_; }
  int64_t label(int64_t index) const override {
    return static_cast<int64_t>(core::Random(key(index)).below(static_cast<uint64_t>(classes_)));
  }
  /// Each byte of a random block is a pixel value; block 0 is reserved for the label.
  void read(int64_t index, float* pixels) const override {
    std::array<uint32_t, 4> block;
    auto const* bytes = reinterpret_cast<uint8_t const*>(block.data());
    int64_t const count = shape_.count(), step = sizeof block;
    for (int64_t at = 0; at < count; at += step) {
      block = core::random_block(key(index), static_cast<uint64_t>(1 + at / step));
      to_float(bytes, std::min(step, count - at), pixels + at);
    }
  }

 private:
  core::RandomKey key(int64_t index) const {
    return {seed_, core::Purpose::synthetic, static_cast<uint64_t>(index)};
  }

  core::ImageShape shape_;
  int64_t size_, classes_;
  uint64_t seed_;
};

}  // namespace

Task open_synthetic(DataConfig const& config, uint64_t seed) {
  if (!config.classes || config.samples < 1)
    throw ConfigError("data.kind: synthetic requires data.classes and data.samples of at least 1");
  return {*config.classes, {"train", std::make_shared<Synthetic>(config, seed)}, {}, {}};
}

}  // namespace train
