#include "train/data/rendered/glyph_sheet.h"
#include <algorithm>
#include <filesystem>
#include <iomanip>
#include <random>
#include <string_view>
#include <sys/stat.h>
#include <unordered_map>
#include <zlib.h>
#include "train/data/rendered/font.h"
#include "train/errors.h"

namespace train {
namespace {

namespace fs = std::filesystem;

uint64_t hash_of(uint8_t const* picture, size_t bytes) {
  std::string_view const text(reinterpret_cast<char const*>(picture), bytes);
  return std::hash<std::string_view>()(text) | 1;
}

/// Text of everything that a drawing depends on, to detect outdated cache files.
std::string source_of(SheetKey const& key) {
  struct stat status {};
  if (stat(key.path.c_str(), &status) != 0) throw MissingInput("font not found: " + key.path);
  return core::join(fs::path(key.path).filename().string(), ", ", status.st_size, " bytes of ",
                    status.st_mtim.tv_sec, ", face ", key.index, ", ", key.first, " to ", key.last,
                    ", ", key.size, " pixels, version ", Font::version());
}

/// FNV-1a hash for file names, since std::hash may change with the library.
uint64_t fnv(std::string const& text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (char const c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return hash;
}

std::string cache_name(SheetKey const& key) {
  std::ostringstream name;
  name << fs::path(key.path).stem().string() << '-' << key.index << '-' << std::hex
       << std::setfill('0') << std::setw(16) << fnv(source_of(key)) << ".safetensors";
  return name.str();
}

template <class T>
uLong crc_of(uLong crc, std::vector<T> const& values) {
  return crc32_z(crc, reinterpret_cast<Bytef const*>(values.data()), values.size() * sizeof(T));
}

void write(Drawing const& drawing, SheetKey const& key, std::string const& path) {
  auto const rows = static_cast<int64_t>(drawing.code_points.size());
  uLong const crc = crc_of(crc_of(0, drawing.code_points), drawing.pictures);
  SafetensorsWriter file(path,
                         {{"code_points", core::Dtype::i32, {rows}},
                          {"pictures", core::Dtype::u8, {rows, key.size, key.size}}},
                         {{"source", source_of(key)}, {"crc32", std::to_string(crc)}});
  file.append(drawing.code_points.data(), drawing.code_points.size() * sizeof(uint32_t));
  file.append(drawing.pictures.data(), drawing.pictures.size());
  file.finish();
}

/// Writes a temporary file and renames it, so that `path` never names an incomplete file.
void write_whole(Drawing const& drawing, SheetKey const& key, fs::path const& path) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);  // on failure, creating the file throws
  std::random_device random;
  fs::path const beside = core::join(path.string(), '.', std::hex, random(), random());
  try {
    write(drawing, key, beside);
    fs::rename(beside, path);
  } catch (fs::filesystem_error const& failure) {
    throw IoError(failure.what());
  } catch (IoError const&) {
    fs::remove(beside, error);
    throw;
  }
}

}  // namespace

Drawing draw_sheet(SheetKey const& key) {
  Font font(key.path, key.index);
  size_t const bytes = static_cast<size_t>(key.size) * static_cast<size_t>(key.size);
  std::vector<uint8_t> missing(bytes), picture(bytes);
  font.draw(0, key.size, missing.data());
  Drawing drawing;
  for (uint32_t code_point = key.first; code_point <= key.last; ++code_point) {
    uint32_t const glyph = font.glyph(code_point);
    if (glyph == 0 || !font.draw(glyph, key.size, picture.data()) || picture == missing) continue;
    drawing.code_points.push_back(code_point);
    drawing.pictures.insert(drawing.pictures.end(), picture.begin(), picture.end());
  }
  drop_placeholders(drawing, bytes);
  return drawing;
}

void drop_placeholders(Drawing& drawing, size_t bytes) {
  constexpr int most_twins = 16;
  std::unordered_map<uint64_t, int> uses;
  size_t const rows = drawing.code_points.size();
  std::vector<uint64_t> hashes(rows);
  for (size_t row = 0; row < rows; ++row)
    ++uses[hashes[row] = hash_of(drawing.pictures.data() + row * bytes, bytes)];
  size_t kept = 0;
  for (size_t row = 0; row < rows; ++row) {
    if (uses[hashes[row]] > most_twins) continue;
    drawing.code_points[kept] = drawing.code_points[row];
    std::copy_n(drawing.pictures.data() + row * bytes, bytes,
                drawing.pictures.data() + kept * bytes);
    ++kept;
  }
  drawing.code_points.resize(kept);
  drawing.pictures.resize(kept * bytes);
}

GlyphSheet::GlyphSheet(SheetKey const& key, std::string const& folder)
    : bytes_(static_cast<size_t>(key.size) * static_cast<size_t>(key.size)) {
  fs::path const path = fs::path(folder) / cache_name(key);
  if (load(key, path)) return;
  write_whole(draw_sheet(key), key, path);
  if (!load(key, path))
    throw BadData(path.string() + ": damaged immediately after writing; check the disk");
}

/// Returns false if the file is missing, damaged or outdated.
bool GlyphSheet::load(SheetKey const& key, std::string const& path) try {
  file_.emplace(path);
  TensorEntry const& codes = file_->entry("code_points");
  auto const& metadata = file_->metadata();
  core::Shape const expected{codes.shape.at(0), key.size, key.size};
  if (codes.dtype != core::Dtype::i32 || file_->entry("pictures").shape != expected) return false;
  if (!metadata.count("source") || metadata.at("source") != source_of(key)) return false;
  code_points_.resize(static_cast<size_t>(codes.shape[0]));
  file_->read("code_points", code_points_.data(), codes.bytes());
  uLong crc = crc_of(0, code_points_);
  hashes_.clear();
  std::vector<uint8_t> picture(bytes_);
  for (size_t row = 0; row < code_points_.size(); ++row) {
    read(row, picture.data());
    crc = crc_of(crc, picture);
    hashes_.push_back(hash_of(picture.data(), bytes_));
  }
  return metadata.count("crc32") && metadata.at("crc32") == std::to_string(crc);
} catch (MissingInput const&) {
  return false;
} catch (BadData const&) {
  return false;
}

void GlyphSheet::read(size_t row, uint8_t* picture) const {
  file_->read("pictures", picture, bytes_, row * bytes_);
}

}  // namespace train
