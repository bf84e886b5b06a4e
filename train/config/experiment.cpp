#include "train/config/experiment.h"
#include <filesystem>
#include <fstream>
#include "train/config/fields.h"
#include "train/config/reader.h"
#include "train/config/rules.h"

namespace train {
namespace {

/// Larger files are rejected.
constexpr std::streamsize largest_file = 1 << 20;

/// Fills in defaults that depend on other keys.
void fill_defaults(Experiment& experiment, std::string const& name) {
  if (experiment.run.out.empty())
    experiment.run.out = "runs/" + std::filesystem::path(name).stem().string();
  if (experiment.data.kind == DataKind::idx && experiment.data.path.empty())
    experiment.data.path = "/usr/share/datasets/fashion-mnist";
  for (auto* faces : {&experiment.data.glyphs.train, &experiment.data.glyphs.test,
                      &experiment.data.words.train, &experiment.data.words.test})
    for (Face& face : *faces)
      if (face.name.empty()) face.name = std::filesystem::path(face.path).stem().string();
}

std::string read_text(std::string const& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(largest_file + 1, '\0');
  if (!file || std::filesystem::is_directory(path))
    throw MissingInput("cannot read the experiment file " + path);
  file.read(text.data(), largest_file + 1);
  text.resize(static_cast<size_t>(file.gcount()));
  if (file.gcount() > largest_file) throw ConfigError(path + ": longer than 1 MiB");
  return text;
}

}  // namespace

Experiment with_absolute_paths(Experiment experiment) {
  auto const make_absolute = [](std::string& path) {
    if (!path.empty()) path = std::filesystem::absolute(path).lexically_normal().string();
  };
  // Bare names are searched in system folders.
  auto const unless_bare = [&](std::string& path) {
    if (path.find('/') != std::string::npos) make_absolute(path);
  };
  auto& data = experiment.data;
  for (auto* path : {&data.path, &data.eval_path, &data.glyphs.cache,
                     &experiment.head.class_weights, &experiment.init.from})
    make_absolute(*path);
  for (auto* faces : {&data.glyphs.train, &data.glyphs.test, &data.words.train, &data.words.test})
    for (Face& face : *faces) unless_bare(face.path);
  for (auto& list : data.words.lists) unless_bare(list);
  return experiment;
}

Experiment parse_experiment(std::string const& name, std::string const& text,
                            std::vector<std::string> const& settings) {
  Document document(name, text);
  for (auto const& setting : settings) document.set(setting);
  Experiment experiment;
  Reader reader(document, &document.root(), "");
  fields(reader, experiment);
  reader.done();
  fill_defaults(experiment, name);
  check_rules(document, experiment);
  document.finish();
  return experiment;
}

Experiment read_experiment(std::string const& path, std::vector<std::string> const& settings) {
  return parse_experiment(path, read_text(path), settings);
}

}  // namespace train
