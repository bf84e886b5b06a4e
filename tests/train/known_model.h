#pragma once
#include <memory>
#include "layers/head/sharded_head.h"
#include "tests/train/data/sets.h"
#include "train/model/model.h"

/// A model and samples with known predictions.
namespace tests {

inline constexpr int64_t known_classes = 8;
inline constexpr core::ImageShape known_shape{2, 4, 1};

/// Returns the pixels of the image as its features.
class PixelTrunk final : public layers::Trunk {
 public:
  core::Var forward(core::Tape&, core::Var const& x) override {
    return {x.value.reshape({x.value.size(0), known_shape.count()})};
  }
  void visit_parameters(Visit const&) override {}
  int64_t features() const override { return known_shape.count(); }
};

/// Model in which the logit of class c is pixel c.
inline train::Model known_model(core::Device& device, comm::Communicator& ranks,
                                core::Dtype dtype = core::Dtype::f32) {
  auto head = std::make_unique<layers::ShardedHead>(
      layers::Context{device, dtype}, ranks,
      layers::ShardedHead::Options{.classes = known_classes, .features = known_shape.count()});
  auto weight = head->state()[0].tensor;
  std::vector<float> rows(static_cast<size_t>(weight.count()), 0);
  for (int64_t row = 0; row < head->count(); ++row)
    rows[static_cast<size_t>(row * known_shape.count() + head->begin() + row)] = 1;
  device.upload(rows.data(), weight);
  return {dtype, nullptr, std::make_unique<PixelTrunk>(), std::move(head)};
}

/// For sample i, class c has rank (c + i) mod 8 among the logits, and the label is the class of
/// rank (3 i) mod 8. Labels therefore take every rank in turn.
inline train::Split known_split(int64_t samples) {
  std::vector<float> pixels;
  std::vector<int64_t> labels;
  for (int64_t i = 0; i < samples; ++i) {
    for (int64_t c = 0; c < known_classes; ++c)
      pixels.push_back(static_cast<float>(known_classes - (c + i) % known_classes));
    labels.push_back((2 * i) % known_classes);  // 2 i + i = 3 i
  }
  return make_split("known", known_shape, std::move(pixels), std::move(labels));
}

/// The class of rank `place` for sample i.
inline int64_t known_best(int64_t i, int64_t place) {
  return ((place - i) % known_classes + known_classes) % known_classes;
}

}  // namespace tests
