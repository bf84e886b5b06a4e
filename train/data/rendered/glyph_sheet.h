#pragma once
#include <optional>
#include <vector>
#include "train/formats/safetensors.h"

namespace train {

/// Which code points of which face to draw, and how large.
struct SheetKey {
  std::string path;  ///< of the font file
  int index = 0;     ///< of the face in it
  uint32_t first = 0, last = 0;
  int size = 0;  ///< pixels a side
};

/// Code points and their pictures.
struct Drawing {
  std::vector<uint32_t> code_points;  ///< ascending
  std::vector<uint8_t> pictures;      ///< (code points, size, size), ink 255
};

/// What a face has of a range of code points. Left out are blank pictures, the face's picture for
/// what it lacks, and placeholders.
Drawing draw_sheet(SheetKey const& key);

/// Takes out every picture of `bytes` bytes that more than 16 code points share. True twins (Latin
/// A, Greek Alpha, Cyrillic A) are 8 at most in the fonts seen; a box for what was never drawn
/// stands for hundreds.
void drop_placeholders(Drawing& drawing, size_t bytes);

/// A Drawing in a file of the cache folder: drawn once, then read picture by picture, so that the
/// ranks of a machine share the pages. Reading is safe from several threads.
class GlyphSheet {
 public:
  /// Draws what the folder lacks, or has damaged. Several processes may do so at once: each writes
  /// a file of its own and renames it. Throws IoError when the folder cannot be written.
  GlyphSheet(SheetKey const& key, std::string const& folder);

  std::vector<uint32_t> const& code_points() const { return code_points_; }
  /// Of each picture; equal pictures have equal ones, and none is 0.
  std::vector<uint64_t> const& hashes() const { return hashes_; }
  void read(size_t row, uint8_t* picture) const;

 private:
  bool load(SheetKey const& key, std::string const& path);

  size_t bytes_;  // of a picture
  std::optional<SafetensorsReader> file_;
  std::vector<uint32_t> code_points_;
  std::vector<uint64_t> hashes_;
};

}  // namespace train
