#include "train/data/font.h"
#include <ft2build.h>
#include FT_FREETYPE_H
#include FT_OUTLINE_H
#include FT_BBOX_H
#include <algorithm>
#include <array>
#include <filesystem>
#include <pwd.h>
#include <unistd.h>
#include <utility>
#include <vector>
#include "train/errors.h"

namespace train {
namespace {

namespace fs = std::filesystem;

/// First letters of font files, and the Debian package that has them.
constexpr std::pair<char const*, char const*> packages[] = {
    {"NotoSansCJK", "fonts-noto-cjk"},      {"NotoSerifCJK", "fonts-noto-cjk"},
    {"TW-Kai", "fonts-cns11643-kai"},       {"TW-Sung", "fonts-cns11643-sung"},
    {"uming", "fonts-arphic-uming"},        {"ukai", "fonts-arphic-ukai"},
    {"HanaMin", "fonts-hanazono"},          {"wqy-zenhei", "fonts-wqy-zenhei"},
    {"wqy-microhei", "fonts-wqy-microhei"}, {"LXGWWenKai", "fonts-lxgw-wenkai"},
    {"ipamjm", "fonts-ipamj-mincho"},       {"BabelStoneHan", "fonts-babelstone-han"},
    {"unifont", "fonts-unifont"},           {"DejaVu", "fonts-dejavu-core"}};

std::vector<fs::path> font_folders() {
  std::vector<fs::path> folders{"/usr/share/fonts", "/usr/local/share/fonts"};
  passwd entry{};
  passwd* user = nullptr;
  std::array<char, 4096> text;
  if (getpwuid_r(getuid(), &entry, text.data(), text.size(), &user) == 0 && user != nullptr) {
    folders.push_back(fs::path(user->pw_dir) / ".fonts");
    folders.push_back(fs::path(user->pw_dir) / ".local/share/fonts");
  }
  return folders;
}

[[noreturn]] void fail_missing(std::string const& name) {
  std::string const file = fs::path(name).filename();
  std::string hint;
  for (auto const& [start, package] : packages)
    if (file.starts_with(start)) hint = core::join(" (Debian package ", package, ")");
  throw MissingInput(core::join("font not found: ", name, hint));
}

/// 26.6 fixed point, FreeType's unit of outlines.
FT_Pos fixed(int pixels) { return FT_Pos{pixels} * 64; }

/// Shrinks ink larger than the picture and moves its centre to the picture's.
void place(FT_Outline& outline, int size) {
  FT_BBox box;
  FT_Outline_Get_BBox(&outline, &box);
  FT_Pos const extent = std::max(box.xMax - box.xMin, box.yMax - box.yMin);
  if (extent > fixed(size)) {
    FT_Fixed const scale = FT_DivFix(fixed(size), extent);
    FT_Matrix const shrink{scale, 0, 0, scale};
    FT_Outline_Transform(&outline, &shrink);
    FT_Outline_Get_BBox(&outline, &box);
  }
  FT_Outline_Translate(&outline, (fixed(size) - box.xMin - box.xMax) / 2,
                       (fixed(size) - box.yMin - box.yMax) / 2);
}

}  // namespace

struct Font::Handles {
  FT_Library library = nullptr;
  FT_Face face = nullptr;
  ~Handles() {
    if (face != nullptr) FT_Done_Face(face);
    if (library != nullptr) FT_Done_FreeType(library);
  }
};

std::string find_font(std::string const& name) {
  if (name.find('/') != std::string::npos) {
    if (!fs::exists(name)) fail_missing(name);
    return name;
  }
  for (fs::path const& folder : font_folders()) {
    std::vector<std::string> found;
    std::error_code none;  // folders may be absent or closed
    fs::recursive_directory_iterator files(folder, fs::directory_options::skip_permission_denied,
                                           none);
    for (auto const& file : files)
      if (file.path().filename() == name) found.push_back(file.path());
    if (!found.empty()) return *std::min_element(found.begin(), found.end());
  }
  fail_missing(name);
}

Font::Font(std::string const& path, int index) : handles_(std::make_unique<Handles>()) {
  core::check(FT_Init_FreeType(&handles_->library) == 0, "FreeType does not start");
  if (!fs::exists(path)) fail_missing(path);
  FT_Face& face = handles_->face;
  if (FT_New_Face(handles_->library, path.c_str(), index, &face) != 0)
    throw BadData(core::join(path, ": not a font, or it has no face ", index));
  if (!FT_IS_SCALABLE(face)) throw BadData(core::join(path, ": not an outline font"));
  if (FT_Select_Charmap(face, FT_ENCODING_UNICODE) != 0)
    throw BadData(core::join(path, ": no Unicode table"));
}

Font::~Font() = default;

std::string Font::family() const {
  char const* const name = handles_->face->family_name;
  return name == nullptr ? "" : name;
}

uint32_t Font::glyph(uint32_t code_point) const {
  return FT_Get_Char_Index(handles_->face, code_point);
}

bool Font::draw(uint32_t glyph, int size, uint8_t* picture) {
  auto const pixels = static_cast<unsigned>(size);
  size_t const area = size_t{pixels} * pixels;
  std::fill_n(picture, area, uint8_t{0});
  FT_Face const face = handles_->face;
  if (FT_Set_Pixel_Sizes(face, pixels, pixels) != 0 ||
      FT_Load_Glyph(face, glyph, FT_LOAD_NO_HINTING | FT_LOAD_NO_BITMAP) != 0 ||
      face->glyph->format != FT_GLYPH_FORMAT_OUTLINE)
    return false;
  FT_Outline& outline = face->glyph->outline;
  place(outline, size);
  FT_Bitmap bitmap{};
  bitmap.rows = bitmap.width = pixels;
  bitmap.pitch = size;
  bitmap.buffer = picture;
  bitmap.num_grays = 256;
  bitmap.pixel_mode = FT_PIXEL_MODE_GRAY;
  if (FT_Outline_Get_Bitmap(handles_->library, &outline, &bitmap) != 0) return false;
  return std::any_of(picture, picture + area, [](uint8_t ink) { return ink != 0; });
}

std::string Font::version() {
  return core::join("1, FreeType ", FREETYPE_MAJOR, '.', FREETYPE_MINOR, '.', FREETYPE_PATCH);
}

}  // namespace train
