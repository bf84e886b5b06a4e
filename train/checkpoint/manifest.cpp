#include "train/checkpoint/manifest.h"
#include <charconv>
#include <nlohmann/json.hpp>
#include "train/errors.h"

namespace train {
namespace {

using nlohmann::json;

constexpr int format = 2;  // version of the folder's layout

std::string hex(uint32_t value) {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", value);
  return text;
}

/// Parses an unsigned integer that is stored as a string, since JSON readers that use doubles
/// lose bits of 64-bit integers.
/// Throws: BadData.
uint64_t parse_number(std::string const& text, int base) {
  uint64_t value = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    throw BadData(core::join("'", text, "' is not a number"));
  return value;
}

/// CRC-32 of the canonical form of the contents: sorted keys, no spaces.
std::string checksum(json const& contents) {
  std::string const text = contents.dump();
  Digest digest;
  digest.add(text.data(), text.size());
  return hex(digest.crc32);
}

json to_json(FileDigests const& files) {
  json all = json::object();
  for (auto const& [name, digest] : files)
    all[name] = {{"bytes", digest.bytes}, {"crc32", hex(digest.crc32)}};
  return all;
}

FileDigests files_of(json const& all) {
  FileDigests files;
  for (auto const& [name, value] : all.items()) {
    auto const crc32 = parse_number(value.at("crc32").get<std::string>(), 16);
    files[name] = {value.at("bytes").get<uint64_t>(), static_cast<uint32_t>(crc32)};
  }
  return files;
}

core::ImageShape image_of(json const& sizes) {
  auto const size = [&](size_t axis) { return sizes.at(axis).get<int64_t>(); };
  return {size(0), size(1), size(2)};
}

Manifest read(json contents) {
  std::string const expected = contents.at("crc32").get<std::string>();
  contents.erase("crc32");
  if (checksum(contents) != expected) throw BadData("checksum mismatch");
  if (contents.at("format") != format)
    throw ConfigError(core::join("format version ", contents.at("format").dump(), ", written by ",
                                 contents.value("program", "another program"),
                                 "; this program reads version ", format));
  auto const whole = [&](char const* key) { return contents.at(key).get<int64_t>(); };
  return {{whole("step"), whole("epoch"), whole("batch")},
          parse_number(contents.at("seed").get<std::string>(), 10),
          whole("ranks"),
          whole("classes"),
          image_of(contents.at("image")),
          files_of(contents.at("files"))};
}

}  // namespace

std::string to_text(Manifest const& manifest) {
  json contents{{"format", format},
                {"program", "colonnade " COLONNADE_VERSION},
                {"step", manifest.at.step},
                {"epoch", manifest.at.epoch},
                {"batch", manifest.at.batch},
                {"seed", std::to_string(manifest.seed)},
                {"ranks", manifest.ranks},
                {"classes", manifest.classes},
                {"image", {manifest.image.height, manifest.image.width, manifest.image.channels}},
                {"files", to_json(manifest.files)}};
  contents["crc32"] = checksum(contents);
  return contents.dump(2) + '\n';
}

Manifest parse_manifest(std::string const& text, std::string const& path) {
  try {
    return read(json::parse(text));
  } catch (json::exception const& error) {
    throw BadData(core::join(path, ": not a checkpoint manifest: ", error.what()));
  } catch (BadData const& error) {
    throw BadData(core::join(path, ": ", error.what()));
  } catch (ConfigError const& error) {
    throw ConfigError(core::join(path, ": ", error.what()));
  }
}

std::string to_text(FileDigests const& files) { return to_json(files).dump(); }

FileDigests parse_files(std::string const& text) { return files_of(json::parse(text)); }

}  // namespace train
