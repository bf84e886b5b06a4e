#include "train/weights/state_dict_reader.h"
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include "train/errors.h"
#include "train/formats/tensor_file.h"

namespace train {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr uint64_t index_limit = 100'000'000;
constexpr size_t suffix_length = 6;  ///< ".00001"

/// Reads weight_map, the file name of every tensor, from an index.
std::map<std::string, std::string> weight_map(std::string const& path) {
  auto const file = File::open(path);
  if (file.size() > index_limit) throw BadData(path + " exceeds the limit of 100 MB");
  std::string text(file.size(), '\0');
  file.read(0, text.data(), text.size());
  try {
    return json::parse(text).at("weight_map").get<std::map<std::string, std::string>>();
  } catch (json::exception const& error) {
    throw BadData(core::join(path, " is not an index of safetensors files: ", error.what()));
  }
}

/// Number of the part that a name denotes, or 0 for a whole tensor.
int64_t part_number(std::string const& name) {
  if (name.size() <= suffix_length || name[name.size() - suffix_length] != '.') return 0;
  auto const digits = name.substr(name.size() - suffix_length + 1);
  bool const all = std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
  return all ? std::stoll(digits) : 0;
}

}  // namespace

std::string part_suffix(int64_t number) {
  auto const digits = std::to_string(number);
  return '.' + std::string(suffix_length - 1 - std::min(suffix_length - 1, digits.size()), '0') +
         digits;
}

StateDictReader::StateDictReader(std::string path) : path_(std::move(path)) {
  if (path_.ends_with(".index.json")) {
    read_index();
    return;
  }
  auto const& file = files_.emplace(path_, path_).first->second;
  for (auto const& [name, entry] : file.entries()) add(file, name);
}

void StateDictReader::read_index() {
  for (auto const& [name, file] : weight_map(path_)) {  // sorted by name, so parts are in order
    auto const& opened = open(file, name);
    if (part_number(name) > 0)
      add_part(opened, name);
    else
      add(opened, name);
  }
}

SafetensorsReader const& StateDictReader::open(std::string const& name, std::string const& tensor) {
  if (fs::path(name).filename() != name)
    throw BadData(core::join(path_, ": tensor '", tensor, "' is in '", name,
                             "', which is not a file in the folder of the index"));
  auto const file = (fs::path(path_).parent_path() / name).string();
  auto const found = files_.find(file);
  return found != files_.end() ? found->second : files_.emplace(file, file).first->second;
}

void StateDictReader::add(SafetensorsReader const& file, std::string const& name) {
  auto const& [dtype, shape, begin, end] = file.entry(name);
  tensors_[name] = {name, dtype, shape};
  parts_[name] = {{&file, name, 0, core::count(shape)}};
}

void StateDictReader::add_part(SafetensorsReader const& file, std::string const& name) {
  auto const whole = name.substr(0, name.size() - suffix_length);
  auto const& [dtype, shape, begin, end] = file.entry(name);
  auto& parts = parts_[whole];
  if (auto const expected = part_suffix(std::ssize(parts) + 1); whole + expected != name)
    throw BadData(core::join(path_, ": found '", name, "', but not '", whole, expected, "'"));
  if (shape.empty()) throw BadData(core::join(file.path(), ": '", name, "' has no rows"));
  auto& tensor = tensors_.try_emplace(whole, whole, dtype, core::Shape(shape)).first->second;
  if (!parts.empty()) {
    auto joined = shape;
    joined[0] += tensor.shape[0];
    tensor.shape[0] = joined[0];
    if (dtype != tensor.dtype || joined != tensor.shape)
      throw BadData(core::join(file.path(), ": '", name, "' is ", dtype, ' ', shape,
                               ", which does not match the previous parts"));
  }
  int64_t const first = parts.empty() ? 0 : parts.back().end;
  parts.push_back({&file, name, first, first + core::count(shape)});
}

std::vector<float> StateDictReader::floats(std::string const& name, int64_t first,
                                           int64_t count) const {
  std::vector<float> all;
  all.reserve(static_cast<size_t>(count));
  for (auto const& part : parts_.at(name)) {
    int64_t const begin = std::max(first, part.begin), end = std::min(first + count, part.end);
    if (begin >= end) continue;
    auto const some = read_floats(*part.file, part.name, begin - part.begin, end - begin);
    all.insert(all.end(), some.begin(), some.end());
  }
  core::check(std::ssize(all) == count, "range exceeds tensor '", name, "' of ", path_);
  return all;
}

int64_t StateDictReader::number(std::string const& name) const {
  int64_t value = 0;
  parts_.at(name).front().file->read(name, &value, sizeof value);
  return value;
}

}  // namespace train
