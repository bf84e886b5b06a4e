#pragma once
#include <memory>
#include <mutex>
#include <vector>
#include "train/config/experiment.h"
#include "train/data/rendered/font.h"

namespace train {

/// Sets of the same fonts, one for each thread that draws at a time: FreeType's faces are for one
/// thread. They are opened when first needed.
class FontPool {
 public:
  using Fonts = std::vector<std::unique_ptr<Font>>;

  /// Opens a set, so that what is wrong with a font shows here: MissingInput, BadData.
  explicit FontPool(std::vector<Face> faces);

  /// Calls use(fonts), a font for each face, on a set that no other thread has meanwhile.
  template <class F>
  auto with(F use) const {
    Fonts fonts = take();
    auto result = use(fonts);
    give_back(std::move(fonts));
    return result;
  }

  size_t size() const { return faces_.size(); }

 private:
  Fonts open() const;
  Fonts take() const;
  void give_back(Fonts fonts) const;

  std::vector<Face> faces_;
  mutable std::mutex mutex_;
  mutable std::vector<Fonts> idle_;
};

}  // namespace train
