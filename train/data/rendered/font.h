#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace train {

/// Where the font file `name` is: itself when it has a folder, else the first of that name in the
/// system's and the user's font folders. Throws MissingInput naming the Debian package that has it,
/// where known.
std::string find_font(std::string const& name);

/// A face of a font file, opened with FreeType. For one thread at a time.
class Font {
 public:
  /// Throws MissingInput, or BadData when it is no outline font with a Unicode table.
  Font(std::string const& path, int index);
  ~Font();

  /// "Noto Sans CJK SC"
  std::string family() const;

  /// The face's glyph of a code point; 0 when it has none.
  uint32_t glyph(uint32_t code_point) const;

  /// Draws a glyph into size x size bytes, ink 255 on 0: its em square is scaled to `size`, its ink
  /// is centred, and ink that passes the picture is shrunk to it. Centring ink rather than em
  /// squares takes away what fonts differ in most and classes least. Not hinted: hints are the
  /// font's own and at these sizes move strokes by a good part of their width. False when there is
  /// no ink.
  bool draw(uint32_t glyph, int size, uint8_t* picture);

  /// Writes a line of text into height x width bytes in the same way: the em square is scaled to
  /// `height`, the ink of the whole line is centred, and shrunk to the picture where it passes it.
  /// Letters stand as far apart as the font's advances say, without kerning. False when there is no
  /// ink; characters that the face lacks are drawn as it draws what it lacks.
  bool write(std::u32string_view text, int height, int width, uint8_t* picture);

  /// Of FreeType and of what `draw` does; another version may draw other bytes.
  static std::string version();

 private:
  struct Handles;
  std::unique_ptr<Handles> handles_;
};

}  // namespace train
