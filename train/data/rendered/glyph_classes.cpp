#include "train/data/rendered/glyph_classes.h"
#include <algorithm>
#include <iomanip>
#include "core/check.h"
#include "train/data/rendered/utf8.h"

namespace train {
namespace {

/// Index of the code points kept so far, by the hashes of their pictures.
class Kept {
 public:
  void add(Pictures const& pictures) {
    for (size_t face = 0; face < pictures.size(); ++face)
      if (pictures[face] != 0) by_picture_[{face, pictures[face]}].push_back(&pictures);
  }
  /// Whether a kept code point has equal pictures in every face that has both, and there is at
  /// least one such face.
  bool has_twin(Pictures const& pictures) const {
    for (size_t face = 0; face < pictures.size(); ++face)
      if (auto const same = by_picture_.find({face, pictures[face]}); same != by_picture_.end())
        for (Pictures const* const other : same->second)
          if (alike(*other, pictures)) return true;
    return false;
  }

 private:
  static bool alike(Pictures const& a, Pictures const& b) {
    for (size_t face = 0; face < a.size(); ++face)
      if (a[face] != 0 && b[face] != 0 && a[face] != b[face]) return false;
    return true;
  }

  std::map<std::pair<size_t, uint64_t>, std::vector<Pictures const*>> by_picture_;
};

}  // namespace

std::vector<uint32_t> choose_classes(std::map<uint32_t, Pictures> const& all, int min_fonts) {
  std::vector<uint32_t> classes;
  Kept kept;
  for (auto const& [code_point, pictures] : all) {
    auto const fonts = std::ranges::count_if(pictures, [](uint64_t hash) { return hash != 0; });
    if (fonts < min_fonts || kept.has_twin(pictures)) continue;
    classes.push_back(code_point);
    kept.add(pictures);
  }
  return classes;
}

std::string code_point_name(uint32_t code) {
  std::string text;
  append_utf8(text, code);
  return core::join(text, " U+", std::hex, std::uppercase, std::setfill('0'), std::setw(4), code);
}

}  // namespace train
