#include "train/data/rendered/font_pool.h"

namespace train {

FontPool::FontPool(std::vector<Face> faces) : faces_(std::move(faces)) { give_back(open()); }

FontPool::Fonts FontPool::open() const {
  Fonts fonts;
  for (Face const& face : faces_) fonts.push_back(std::make_unique<Font>(face.path, face.index));
  return fonts;
}

FontPool::Fonts FontPool::take() const {
  {
    std::lock_guard const lock(mutex_);
    if (!idle_.empty()) {
      Fonts fonts = std::move(idle_.back());
      idle_.pop_back();
      return fonts;
    }
  }
  return open();
}

void FontPool::give_back(Fonts fonts) const {
  std::lock_guard const lock(mutex_);
  idle_.push_back(std::move(fonts));
}

}  // namespace train
