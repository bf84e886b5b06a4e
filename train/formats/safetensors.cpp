#include "train/formats/safetensors.h"
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include "train/errors.h"

namespace train {
namespace {

using core::Dtype;
using nlohmann::json;

constexpr uint64_t header_limit = 100'000'000;  // bytes; the limit of the format
constexpr char const* metadata_key = "__metadata__";

constexpr std::pair<char const*, Dtype> dtype_names[] = {{"F32", Dtype::f32},   {"F64", Dtype::f64},
                                                         {"BF16", Dtype::bf16}, {"I32", Dtype::i32},
                                                         {"I64", Dtype::i64},   {"U8", Dtype::u8}};

char const* file_name(Dtype dtype) {
  for (auto const& [name, value] : dtype_names)
    if (value == dtype) return name;
  core::fail("safetensors files cannot store dtype ", dtype);
}

template <class... Parts>
[[noreturn]] void bad(std::string const& path, Parts const&... parts) {
  throw BadData(core::join(path, ": ", parts...));
}

/// Parses the header. Rejects duplicate keys, which the JSON parser accepts.
json parse_header(std::string const& path, std::string const& text) {
  std::vector<std::set<std::string>> seen;  // keys so far of the open objects, by depth
  auto const refuse_duplicates = [&](int depth, json::parse_event_t event, json& value) {
    auto const level = static_cast<size_t>(depth);
    if (level > 3) bad(path, "the header is nested too deeply");
    seen.resize(std::max(seen.size(), level + 1));
    // Start and end are reported at the depth outside the object, its keys at the depth inside.
    if (event == json::parse_event_t::object_start) seen.resize(level + 1);
    if (event == json::parse_event_t::key) {
      auto const& key = value.get_ref<std::string const&>();
      if (!seen[level].insert(key).second) bad(path, "duplicate key '", key, "' in the header");
    }
    return true;
  };
  if (text.empty() || text[0] != '{') bad(path, "the header does not begin with '{'");
  try {
    return json::parse(text, refuse_duplicates);
  } catch (json::exception const& error) {
    bad(path, "the header is not JSON: ", error.what());
  }
}

std::string read_header(File const& file) {
  uint64_t const size = file.size();
  uint64_t length = 0;
  if (size < sizeof length) bad(file.path(), "too short to be a safetensors file");
  file.read(0, &length, sizeof length);
  if (length > header_limit || length > size - sizeof length)
    bad(file.path(), "invalid header size of ", length, " bytes in a file of size ", size);
  std::string text(length, '\0');
  file.read(sizeof length, text.data(), length);
  return text;
}

uint64_t natural(json const& value, std::string const& where) {
  if (!value.is_number_unsigned())
    throw BadData(core::join(where, "expected a non-negative integer"));
  return value.get<uint64_t>();
}

/// Size of a tensor in bytes.
/// Throws: BadData if it overflows.
uint64_t byte_count(TensorEntry const& entry, std::string const& where) {
  uint64_t product = core::size_of(entry.dtype);
  for (int64_t const size : entry.shape)
    if (__builtin_mul_overflow(product, static_cast<uint64_t>(size), &product))
      throw BadData(core::join(where, "the size of the shape overflows"));
  return product;
}

TensorEntry parse_entry(json const& value, std::string const& where) {
  auto const refuse = [&](char const* what) { throw BadData(core::join(where, what)); };
  if (!value.is_object() || value.size() != 3 || !value.contains("dtype") ||
      !value.contains("shape") || !value.contains("data_offsets"))
    refuse("expected dtype, shape and data_offsets");
  TensorEntry entry;
  auto const* const found =
      std::find_if(std::begin(dtype_names), std::end(dtype_names),
                   [&](auto const& pair) { return value["dtype"] == pair.first; });
  if (found == std::end(dtype_names)) refuse("unknown dtype");
  entry.dtype = found->second;
  json const& offsets = value["data_offsets"];
  if (!value["shape"].is_array() || !offsets.is_array() || offsets.size() != 2)
    refuse("shape must be a list and data_offsets a list of two numbers");
  for (json const& size : value["shape"]) {
    uint64_t const n = natural(size, where);
    if (n > INT64_MAX) refuse("the size of the shape overflows");
    entry.shape.push_back(static_cast<int64_t>(n));
  }
  entry.begin = natural(offsets[0], where);
  entry.end = natural(offsets[1], where);
  if (entry.begin > entry.end || entry.bytes() != byte_count(entry, where))
    refuse("data_offsets do not match dtype and shape");
  return entry;
}

Metadata parse_metadata(json const& value, std::string const& path) {
  Metadata metadata;
  if (!value.is_object()) bad(path, metadata_key, " is not an object");
  for (auto const& [key, text] : value.items()) {
    if (!text.is_string()) bad(path, metadata_key, " '", key, "' is not a string");
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

/// Checks that the tensors are contiguous and fill the data, so that every byte belongs to one.
void check_places(std::map<std::string, TensorEntry> const& entries, uint64_t data_bytes,
                  std::string const& path) {
  std::vector<std::pair<std::string const*, TensorEntry const*>> ordered;
  ordered.reserve(entries.size());
  for (auto const& [name, entry] : entries) ordered.emplace_back(&name, &entry);
  std::sort(ordered.begin(), ordered.end(), [](auto const& a, auto const& b) {
    return std::pair(a.second->begin, a.second->end) < std::pair(b.second->begin, b.second->end);
  });
  uint64_t at = 0;
  for (auto const& [name, entry] : ordered) {
    if (entry->begin != at) bad(path, *name, ": gap or overlap at byte ", at, " of the data");
    at = entry->end;
  }
  if (at != data_bytes) bad(path, "tensors occupy ", at, " bytes, the file has ", data_bytes);
}

uint64_t bytes_of(TensorDeclaration const& tensor) {
  return static_cast<uint64_t>(core::count(tensor.shape)) * core::size_of(tensor.dtype);
}

/// Header of a file with these contiguous tensors, including its length prefix.
std::string header(std::vector<TensorDeclaration> const& tensors, Metadata const& metadata) {
  json entries = json::object();
  if (!metadata.empty()) entries[metadata_key] = metadata;
  uint64_t at = 0;
  for (TensorDeclaration const& tensor : tensors) {
    core::check(!entries.contains(tensor.name), "tensor declared twice: ", tensor.name);
    uint64_t const begin = at;
    at += bytes_of(tensor);
    entries[tensor.name] = {{"dtype", file_name(tensor.dtype)},
                            {"shape", std::vector<int64_t>(tensor.shape)},
                            {"data_offsets", {begin, at}}};
  }
  std::string text = entries.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // aligns the data of memory-mapped files
  uint64_t const length = text.size();
  return std::string(reinterpret_cast<char const*>(&length), sizeof length) + text;
}

}  // namespace

SafetensorsReader::SafetensorsReader(std::string path) : file_(File::open(std::move(path))) {
  std::string const text = read_header(file_);
  json const header = parse_header(file_.path(), text);
  data_begin_ = sizeof(uint64_t) + text.size();
  for (auto const& [name, value] : header.items()) {
    if (name == metadata_key)
      metadata_ = parse_metadata(value, file_.path());
    else
      entries_[name] = parse_entry(value, core::join(file_.path(), ": ", name, ": "));
  }
  check_places(entries_, file_.size() - data_begin_, file_.path());
}

TensorEntry const& SafetensorsReader::entry(std::string const& name) const {
  auto const found = entries_.find(name);
  if (found == entries_.end()) bad(path(), "no tensor '", name, "'");
  return found->second;
}

void SafetensorsReader::read(std::string const& name, void* to, size_t bytes,
                             uint64_t offset) const {
  TensorEntry const& place = entry(name);
  if (offset > place.bytes() || bytes > place.bytes() - offset)
    bad(path(), name, ": cannot read ", bytes, " bytes at offset ", offset, "; its size is ",
        place.bytes());
  file_.read(data_begin_ + place.begin + offset, to, bytes);
}

SafetensorsWriter::SafetensorsWriter(std::string path,
                                     std::vector<TensorDeclaration> const& tensors,
                                     Metadata const& metadata)
    : file_(File::create(std::move(path))) {
  auto const start = header(tensors, metadata);
  write(start.data(), start.size());
  for (auto const& tensor : tensors) left_ += bytes_of(tensor);
}

void SafetensorsWriter::write(void const* data, size_t bytes) {
  file_.write(data, bytes);
  written_.add(data, bytes);
}

void SafetensorsWriter::append(void const* data, size_t bytes) {
  core::check(bytes <= left_, "tensors of ", file_.path(), ": ", bytes - left_,
              " bytes more than declared were appended");
  write(data, bytes);
  left_ -= bytes;
}

Digest SafetensorsWriter::finish() {
  core::check(left_ == 0, "tensors of ", file_.path(), ": ", left_,
              " declared bytes were not written");
  file_.sync();
  file_.close();
  return written_;
}

SafetensorsTable::SafetensorsTable(std::string path, std::vector<TensorDeclaration> const& tensors,
                                   Metadata const& metadata)
    : file_(File::create(std::move(path))) {
  auto const start = header(tensors, metadata);
  file_.write(start.data(), start.size());
  uint64_t at = start.size();
  for (auto const& tensor : tensors) {
    places_.push_back({at, at + bytes_of(tensor)});
    at = places_.back().end;
  }
}

void SafetensorsTable::append(size_t tensor, void const* data, size_t bytes) {
  auto& [next, end] = places_.at(tensor);
  core::check(bytes <= end - next, "tensor ", tensor, " of ", file_.path(), ": ",
              bytes - (end - next), " bytes more than declared");
  file_.write_at(next, data, bytes);
  next += bytes;
}

void SafetensorsTable::finish() {
  for (auto const& [next, end] : places_)
    core::check(next == end, "tensors of ", file_.path(), ": ", end - next,
                " declared bytes were not written");
  file_.sync();
  file_.close();
}

}  // namespace train
