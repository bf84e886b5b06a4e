#include "train/checkpoint/files.h"
#include "train/checkpoint/folder.h"
#include "train/errors.h"

namespace train {
namespace fs = std::filesystem;

namespace {

constexpr char const* manifest_file = "manifest.json";
constexpr uint64_t manifest_limit = uint64_t{64} << 20;

}  // namespace

std::string head_file(int rank, int ranks) {
  return core::join("head-", rank, "-of-", ranks, ".safetensors");
}

void write_manifest(Manifest const& manifest, fs::path const& folder) {
  auto file = File::create(folder / manifest_file);
  std::string const text = to_text(manifest);
  file.write(text.data(), text.size());
  file.sync();
  file.close();
  File::open(folder).sync();
}

Manifest read_manifest(fs::path const& folder) {
  auto const file = File::open(folder / manifest_file);
  if (file.size() > manifest_limit) throw BadData(file.path() + " exceeds the limit of 64 MiB");
  std::string text(file.size(), '\0');
  file.read(0, text.data(), text.size());
  auto manifest = parse_manifest(text, file.path());
  if (step_of(folder) != manifest.at.step)
    throw BadData(core::join(file.path(), " belongs to step ", manifest.at.step));
  return manifest;
}

void verify(Manifest const& manifest, fs::path const& path) {
  auto const entry = manifest.files.find(path.filename());
  if (entry == manifest.files.end())
    throw BadData(path.string() + " is not listed in its manifest");
  auto const file = File::open(path);
  auto const& expected = entry->second;
  if (file.size() != expected.bytes)
    throw BadData(
        core::join(file.path(), " has ", file.size(), " bytes, expected ", expected.bytes));
  if (digest(file) != expected) throw BadData(file.path() + ": checksum mismatch");
}

}  // namespace train
