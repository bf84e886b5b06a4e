#pragma once
#include <memory>
#include <mutex>
#include <vector>
#include "train/config/experiment.h"
#include "train/data/rendered/font.h"

namespace train {

/// A pool of sets of the same fonts, one set for each thread that draws at the same time, since
/// FreeType's faces are not thread-safe. Sets are opened on demand.
class FontPool {
 public:
  using Fonts = std::vector<std::unique_ptr<Font>>;

  /// Opens the first set, so that invalid fonts are reported here.
  /// Throws: MissingInput or BadData, as Font.
  explicit FontPool(std::vector<Face> faces);

  /// Returns use(fonts), called with a set that no other thread uses at the same time: one font for
  /// each face. Thread-safe.
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
