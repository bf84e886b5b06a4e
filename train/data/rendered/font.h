#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace train {

/// Returns the path of font file `name`: `name` itself if it contains a slash, else the first file
/// of that name in the font folders of the system and the user.
/// Throws: MissingInput with the Debian package of the font, if known.
std::string find_font(std::string const& name);

/// A face of a font file, rendered with FreeType. Not thread-safe.
class Font {
 public:
  /// `index`: index of the face in the file.
  /// Throws: MissingInput; BadData if the file is not an outline font with a Unicode table.
  Font(std::string const& path, int index);
  ~Font();

  /// Family name, such as "Noto Sans CJK SC".
  std::string family() const;

  /// Glyph index of a code point; 0 if the face does not have it.
  uint32_t glyph(uint32_t code_point) const;

  /// Draws a glyph into size x size bytes, ink 255 on background 0. The em square is scaled to
  /// `size`, the ink is centered, and ink that exceeds the picture is scaled down to fit. Centering
  /// the ink instead of the em square removes the placement, which differs most between fonts and
  /// least between classes. No hinting: it is specific to a font, and at these sizes it moves
  /// strokes by a large part of their width. Returns false if there is no ink.
  bool draw(uint32_t glyph, int size, uint8_t* picture);

  /// Draws a line of text into height x width bytes in the same way. The em square is scaled to
  /// `height`; the ink of the whole line is centered, and scaled down if it exceeds the picture.
  /// Letters are spaced by the font's advance widths, without kerning. Characters that the face
  /// does not have are drawn as its .notdef glyph. Returns false if there is no ink.
  bool write(std::u32string_view text, int height, int width, uint8_t* picture);

  /// Version of `draw` and of FreeType; the pixels may differ between versions.
  static std::string version();

 private:
  struct Handles;
  std::unique_ptr<Handles> handles_;
};

}  // namespace train
