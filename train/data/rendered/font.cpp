#include "train/data/rendered/font.h"
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

/// Prefixes of font file names, and the Debian packages that contain them.
constexpr std::pair<char const*, char const*> packages[] = {
    {"NotoSansCJK", "fonts-noto-cjk"},
    {"NotoSerifCJK", "fonts-noto-cjk"},
    {"TW-Kai", "fonts-cns11643-kai"},
    {"TW-Sung", "fonts-cns11643-sung"},
    {"uming", "fonts-arphic-uming"},
    {"ukai", "fonts-arphic-ukai"},
    {"HanaMin", "fonts-hanazono"},
    {"wqy-zenhei", "fonts-wqy-zenhei"},
    {"wqy-microhei", "fonts-wqy-microhei"},
    {"LXGWWenKai", "fonts-lxgw-wenkai"},
    {"ipamjm", "fonts-ipamj-mincho"},
    {"BabelStoneHan", "fonts-babelstone-han"},
    {"unifont", "fonts-unifont"},
    {"DejaVu", "fonts-dejavu-core"},
    {"Liberation", "fonts-liberation2"},
    {"OpenSans", "fonts-open-sans"},
    {"Carlito", "fonts-crosextra-carlito"},
    {"EBGaramond", "fonts-ebgaramond"},
    {"Vollkorn", "fonts-vollkorn"},
    {"Comfortaa", "fonts-comfortaa"},
    {"PTS", "fonts-paratype"},
    {"PTF", "fonts-paratype"},
    {"OldStandard", "fonts-oldstandard"}};

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

/// Pixels in 26.6 fixed point, FreeType's unit for outlines.
FT_Pos fixed(int pixels) { return FT_Pos{pixels} * 64; }

/// Scales the outline down to fit the picture and centers its ink.
void place(FT_Outline& outline, int height, int width) {
  FT_BBox box;
  FT_Outline_Get_BBox(&outline, &box);
  FT_Pos const across = box.xMax - box.xMin, up = box.yMax - box.yMin;
  if (across > fixed(width) || up > fixed(height)) {
    FT_Fixed const scale = std::min(FT_DivFix(fixed(width), across), FT_DivFix(fixed(height), up));
    FT_Matrix const shrink{scale, 0, 0, scale};
    FT_Outline_Transform(&outline, &shrink);
    FT_Outline_Get_BBox(&outline, &box);
  }
  FT_Outline_Translate(&outline, (fixed(width) - box.xMin - box.xMax) / 2,
                       (fixed(height) - box.yMin - box.yMax) / 2);
}

/// Outlines of the glyphs of a line, combined into one outline.
class Line {
 public:
  void clear() {
    points_.clear();
    tags_.clear();
    ends_.clear();
    pen_ = 0;
    flags_ = 0;
  }
  /// Appends a glyph and moves the pen by `advance`, in 26.6 fixed point.
  void add(FT_Outline const& glyph, FT_Pos advance) {
    auto const begin = static_cast<short>(points_.size());
    flags_ |= glyph.flags;
    for (short i = 0; i < glyph.n_points; ++i)
      points_.push_back({glyph.points[i].x + pen_, glyph.points[i].y});
    tags_.insert(tags_.end(), glyph.tags, glyph.tags + glyph.n_points);
    for (short i = 0; i < glyph.n_contours; ++i)
      ends_.push_back(static_cast<short>(begin + glyph.contours[i]));
    pen_ += advance;
  }
  /// The combined outline, valid until the line changes. FreeType counts points in shorts.
  FT_Outline outline() {
    core::check(points_.size() <= INT16_MAX,
                "the line has too many outline points: ", points_.size(), ", at most 32767");
    return {static_cast<short>(ends_.size()),
            static_cast<short>(points_.size()),
            points_.data(),
            tags_.data(),
            ends_.data(),
            flags_};
  }

 private:
  std::vector<FT_Vector> points_;
  std::vector<char> tags_;
  std::vector<short> ends_;  ///< index of the last point of each contour
  FT_Pos pen_ = 0;
  int flags_ = 0;  ///< FreeType's outline flags, such as the fill rule
};

}  // namespace

struct Font::Handles {
  FT_Library library = nullptr;
  FT_Face face = nullptr;
  Line line;  // reused between calls to avoid allocations

  ~Handles() {
    if (face != nullptr) FT_Done_Face(face);
    if (library != nullptr) FT_Done_FreeType(library);
  }
  bool set_size(int size) {
    auto const pixels = static_cast<unsigned>(size);
    return FT_Set_Pixel_Sizes(face, pixels, pixels) == 0;
  }
  bool load(uint32_t glyph) {
    return FT_Load_Glyph(face, glyph, FT_LOAD_NO_HINTING | FT_LOAD_NO_BITMAP) == 0 &&
           face->glyph->format == FT_GLYPH_FORMAT_OUTLINE;
  }
  /// Places the outline and draws it into height x width zero bytes. Returns false if there is no
  /// ink.
  bool draw(FT_Outline& outline, int height, int width, uint8_t* picture) {
    place(outline, height, width);
    FT_Bitmap bitmap{};
    bitmap.rows = static_cast<unsigned>(height);
    bitmap.width = static_cast<unsigned>(width);
    bitmap.pitch = width;
    bitmap.buffer = picture;
    bitmap.num_grays = 256;
    bitmap.pixel_mode = FT_PIXEL_MODE_GRAY;
    if (FT_Outline_Get_Bitmap(library, &outline, &bitmap) != 0) return false;
    return std::any_of(picture, picture + int64_t{height} * width,
                       [](uint8_t ink) { return ink != 0; });
  }
};

std::string find_font(std::string const& name) {
  if (name.find('/') != std::string::npos) {
    if (!fs::exists(name)) fail_missing(name);
    return name;
  }
  for (fs::path const& folder : font_folders()) {
    std::vector<std::string> found;
    std::error_code none;  // folders may be missing or unreadable
    fs::recursive_directory_iterator files(folder, fs::directory_options::skip_permission_denied,
                                           none);
    for (auto const& file : files)
      if (file.path().filename() == name) found.push_back(file.path());
    if (!found.empty()) return *std::min_element(found.begin(), found.end());
  }
  fail_missing(name);
}

Font::Font(std::string const& path, int index) : handles_(std::make_unique<Handles>()) {
  core::check(FT_Init_FreeType(&handles_->library) == 0, "FreeType cannot be initialized");
  if (!fs::exists(path)) fail_missing(path);
  FT_Face& face = handles_->face;
  if (FT_New_Face(handles_->library, path.c_str(), index, &face) != 0)
    throw BadData(core::join(path, ": not a font file, or no face ", index));
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
  std::fill_n(picture, static_cast<size_t>(size) * static_cast<size_t>(size), uint8_t{0});
  return handles_->set_size(size) && handles_->load(glyph) &&
         handles_->draw(handles_->face->glyph->outline, size, size, picture);
}

bool Font::write(std::u32string_view text, int height, int width, uint8_t* picture) {
  std::fill_n(picture, static_cast<size_t>(height) * static_cast<size_t>(width), uint8_t{0});
  handles_->line.clear();
  if (!handles_->set_size(height)) return false;
  for (char32_t const character : text) {
    if (!handles_->load(glyph(character))) return false;
    FT_GlyphSlot const slot = handles_->face->glyph;
    handles_->line.add(slot->outline, slot->linearHoriAdvance >> 10);  // 16.16 to 26.6
  }
  FT_Outline outline = handles_->line.outline();
  return handles_->draw(outline, height, width, picture);
}

std::string Font::version() {
  return core::join("1, FreeType ", FREETYPE_MAJOR, '.', FREETYPE_MINOR, '.', FREETYPE_PATCH);
}

}  // namespace train
