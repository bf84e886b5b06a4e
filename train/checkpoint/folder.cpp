#include "train/checkpoint/folder.h"
#include <algorithm>
#include <charconv>
#include "core/check.h"
#include "train/formats/file.h"

namespace train {
namespace fs = std::filesystem;

namespace {

bool is_partial(fs::path const& folder) {
  return folder.filename().string().compare(0, 6, ".step-") == 0 &&
         folder.extension() == ".partial";
}

bool is_old(fs::path const& folder) { return folder.extension() == ".old"; }

void sync(fs::path const& folder) { File::open(folder.string()).sync(); }

}  // namespace

std::string step_name(int64_t step) {
  std::string const digits = std::to_string(step);
  return "step-" + std::string(8 - std::min<size_t>(8, digits.size()), '0') + digits;
}

std::optional<int64_t> step_of(fs::path const& folder) {
  std::string const name = folder.filename().string();
  int64_t step = 0;
  if (name.compare(0, 5, "step-") != 0) return {};
  std::from_chars(name.data() + 5, name.data() + name.size(), step);
  std::string const canonical = step_name(step);
  if (name == canonical || name == canonical + ".old") return step;
  return {};
}

Folders complete_in(fs::path const& parent) {
  Folders all;
  if (!fs::exists(parent)) return all;
  for (auto const& entry : fs::directory_iterator(parent))
    if (step_of(entry.path())) all.push_back(entry.path());
  std::sort(all.begin(), all.end(), [](fs::path const& a, fs::path const& b) {
    return std::pair(step_of(a), !is_old(a)) < std::pair(step_of(b), !is_old(b));
  });
  return all;
}

fs::path partial_of(fs::path const& folder) {
  return folder.parent_path() / core::join('.', folder.filename().string(), ".partial");
}

void make_fresh(fs::path const& partial) {
  auto const parent = partial.parent_path();
  if (fs::create_directories(parent)) sync(parent.parent_path());
  Folders leftovers;
  for (auto const& entry : fs::directory_iterator(parent))
    if (is_partial(entry.path())) leftovers.push_back(entry.path());
  for (auto const& leftover : leftovers) fs::remove_all(leftover);
  fs::create_directory(partial);
}

void give_name(fs::path const& partial, fs::path const& name) {
  fs::path const old = name.string() + ".old";
  if (fs::exists(name)) {
    if (fs::exists(old)) retire(old);
    fs::rename(name, old);
  }
  fs::rename(partial, name);
  sync(name.parent_path());
  if (fs::exists(old)) retire(old);
}

void retire(fs::path const& folder) {
  auto const partial = partial_of(folder);
  fs::remove_all(partial);
  fs::rename(folder, partial);
  fs::remove_all(partial);
}

}  // namespace train
