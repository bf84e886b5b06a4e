#pragma once
#include <optional>
#include <vector>
#include "train/formats/safetensors.h"

namespace train {

/// Face, range of code points and size of the pictures of a sheet.
struct SheetKey {
  std::string path;              ///< path of the font file
  int index = 0;                 ///< index of the face in the file
  uint32_t first = 0, last = 0;  ///< code points, inclusive
  int size = 0;                  ///< height and width of the pictures, in pixels
};

/// Code points and their pictures.
struct Drawing {
  std::vector<uint32_t> code_points;  ///< ascending
  std::vector<uint8_t> pictures;      ///< (code points, size, size), ink 255
};

/// Draws the code points of a range that the face has. Blank pictures, the .notdef glyph and
/// placeholders (drop_placeholders) are left out.
Drawing draw_sheet(SheetKey const& key);

/// Removes every picture that more than 16 code points share. `bytes`: size of a picture. At most 8
/// code points share a genuine picture in the fonts examined (Latin A, Greek Alpha, Cyrillic A); a
/// placeholder box for missing glyphs is shared by hundreds.
void drop_placeholders(Drawing& drawing, size_t bytes);

/// A Drawing in a file of the cache folder. It is drawn once; pictures are then read from the file,
/// so that the ranks of a host share the page cache. `read` is thread-safe.
class GlyphSheet {
 public:
  /// Loads the sheet from `folder`; draws and writes it if the file is missing or damaged. Several
  /// processes may write the same sheet concurrently: each writes a temporary file and renames it.
  /// Throws: IoError if the folder cannot be written; MissingInput or BadData, as Font.
  GlyphSheet(SheetKey const& key, std::string const& folder);

  std::vector<uint32_t> const& code_points() const { return code_points_; }
  /// Hash of each picture, never 0; equal pictures have equal hashes.
  std::vector<uint64_t> const& hashes() const { return hashes_; }
  /// Reads a picture, size x size bytes. `row`: index in code_points().
  void read(size_t row, uint8_t* picture) const;

 private:
  bool load(SheetKey const& key, std::string const& path);

  size_t bytes_;  // size of a picture
  std::optional<SafetensorsReader> file_;
  std::vector<uint32_t> code_points_;
  std::vector<uint64_t> hashes_;
};

}  // namespace train
