#include "train/report/lettering.h"
#include <ft2build.h>
#include FT_FREETYPE_H
#include "train/data/rendered/font.h"
#include "train/data/rendered/utf8.h"
#include "train/errors.h"

namespace train {
namespace {

/// Font files, in order of preference. Noto's CJK fonts contain Latin letters too.
constexpr char const* fonts[] = {"NotoSansCJK-Regular.ttc", "wqy-zenhei.ttc", "DejaVuSans.ttf",
                                 "LiberationSans-Regular.ttf"};

std::string find_any() {
  for (char const* const font : fonts) {
    try {
      return find_font(font);
    } catch (MissingInput const&) {
      continue;
    }
  }
  return {};
}

void stamp(Canvas& canvas, int64_t x, int64_t y, FT_Bitmap const& bitmap, Colour colour) {
  for (int64_t row = 0; row < bitmap.rows; ++row)
    for (int64_t column = 0; column < bitmap.width; ++column)
      canvas.blend(x + column, y + row, colour, bitmap.buffer[row * bitmap.pitch + column]);
}

}  // namespace

struct Lettering::Handles {
  FT_Library library = nullptr;
  FT_Face face = nullptr;

  ~Handles() {
    if (face != nullptr) FT_Done_Face(face);
    if (library != nullptr) FT_Done_FreeType(library);
  }

  /// Calls use(glyph) with the rendered glyph of each character that the font has.
  template <class F>
  void each_glyph(std::string const& text, int size, F use) {
    FT_Set_Pixel_Sizes(face, 0, static_cast<FT_UInt>(size));
    for (std::string_view left = text; !left.empty();) {
      FT_UInt const glyph = FT_Get_Char_Index(face, take_character(left));
      if (glyph != 0 && FT_Load_Glyph(face, glyph, FT_LOAD_RENDER) == 0) use(*face->glyph);
    }
  }
};

Lettering::Lettering() {
  std::string const path = find_any();
  if (path.empty()) return;
  auto handles = std::make_unique<Handles>();
  if (FT_Init_FreeType(&handles->library) == 0 &&
      FT_New_Face(handles->library, path.c_str(), 0, &handles->face) == 0)
    handles_ = std::move(handles);
}

Lettering::~Lettering() = default;

int64_t Lettering::width(std::string const& text, int size) {
  int64_t sum = 0;
  if (handles_)
    handles_->each_glyph(text, size,
                         [&](FT_GlyphSlotRec const& glyph) { sum += glyph.advance.x >> 6; });
  return sum;
}

void Lettering::write(Canvas& canvas, int64_t x, int64_t y, std::string const& text, int size,
                      Colour colour) {
  if (!handles_) return;
  handles_->each_glyph(text, size, [&](FT_GlyphSlotRec const& glyph) {
    stamp(canvas, x + glyph.bitmap_left, y - glyph.bitmap_top, glyph.bitmap, colour);
    x += glyph.advance.x >> 6;
  });
}

}  // namespace train
