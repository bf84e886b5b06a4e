#include <algorithm>
#include <atomic>
#include <future>
#include <map>
#include <thread>
#include "train/data/rendered/faces.h"
#include "train/data/rendered/glyph_classes.h"
#include "train/data/rendered/glyph_sheet.h"
#include "train/data/sources.h"

/// Data set of glyphs: classes are code points, samples are their pictures in fonts. Evaluation
/// measures recognition in fonts that are not used for training.
namespace train {
namespace {

using Sheet = std::shared_ptr<GlyphSheet const>;

/// Pictures of the task's classes in some faces, ordered by face and then by class.
class GlyphSet final : public Dataset {
 public:
  /// `classes`: code point of each class, ascending.
  GlyphSet(std::vector<Sheet> sheets, std::vector<uint32_t> const& classes, int size)
      : sheets_(std::move(sheets)), size_(size) {
    for (uint32_t sheet = 0; sheet < sheets_.size(); ++sheet) {
      auto const& code_points = sheets_[sheet]->code_points();
      for (uint32_t row = 0; row < code_points.size(); ++row) {
        auto const found = std::lower_bound(classes.begin(), classes.end(), code_points[row]);
        if (found != classes.end() && *found == code_points[row])
          places_.push_back({sheet, row, static_cast<uint32_t>(found - classes.begin())});
      }
    }
  }

  core::ImageShape shape() const override { return {size_, size_, 1}; }
  int64_t size() const override { return static_cast<int64_t>(places_.size()); }
  int64_t label(int64_t index) const override { return places_[static_cast<size_t>(index)].label; }
  void read(int64_t index, float* pixels) const override {
    Place const& place = places_[static_cast<size_t>(index)];
    std::vector<uint8_t> picture(static_cast<size_t>(shape().count()));
    sheets_[place.sheet]->read(place.row, picture.data());
    to_float(picture.data(), shape().count(), pixels);
  }

 private:
  struct Place {
    uint32_t sheet, row, label;
  };
  std::vector<Sheet> sheets_;
  std::vector<Place> places_;
  int64_t size_;
};

/// Opens or draws every sheet, with one thread per core.
std::vector<Sheet> open_sheets(std::vector<Face> const& faces, GlyphsConfig const& config) {
  std::string const folder = config.cache.empty() ? ".cache/glyphs" : config.cache;
  std::vector<Sheet> sheets(faces.size());
  std::atomic<size_t> next = 0;
  auto const work = [&] {
    for (size_t i; (i = next++) < faces.size();) {
      SheetKey const key{faces[i].path, faces[i].index, config.first, config.last, config.size};
      sheets[i] = std::make_shared<GlyphSheet>(key, folder);
    }
  };
  size_t const cores = std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::future<void>> threads;
  for (size_t i = 0; i < std::min(cores, faces.size()); ++i)
    threads.push_back(std::async(std::launch::async, work));
  for (std::future<void>& thread : threads) thread.wait();
  for (std::future<void>& thread : threads) thread.get();
  return sheets;
}

/// Hashes of the pictures of every code point in the sheets.
std::map<uint32_t, Pictures> by_code_point(std::vector<Sheet> const& sheets) {
  std::map<uint32_t, Pictures> all;
  for (size_t face = 0; face < sheets.size(); ++face)
    for (size_t row = 0; row < sheets[face]->code_points().size(); ++row) {
      Pictures& pictures = all[sheets[face]->code_points()[row]];
      pictures.resize(sheets.size());
      pictures[face] = sheets[face]->hashes()[row];
    }
  return all;
}

}  // namespace

Task open_glyphs(GlyphsConfig const& config) {
  std::vector<Face> const train = find_files(config.train), test = find_files(config.test);
  check_lineages("data.glyphs", train, test);
  std::vector<Sheet> const sheets = open_sheets(train, config);
  std::vector<uint32_t> classes = choose_classes(by_code_point(sheets), config.min_fonts);
  auto const asked = static_cast<size_t>(config.classes.value_or(0));
  if (classes.empty() || classes.size() < asked)
    throw ConfigError(core::join("data.glyphs: ", classes.size(), " code points are in at least ",
                                 config.min_fonts, " training fonts, but ", asked,
                                 " classes are requested"));
  if (asked > 0) classes.resize(asked);

  Task task;
  task.classes = static_cast<int64_t>(classes.size());
  task.train = {"train", std::make_shared<GlyphSet>(sheets, classes, config.size)};
  std::vector<Sheet> const test_sheets = open_sheets(test, config);
  for (size_t i = 0; i < test.size(); ++i)
    task.evaluation.push_back({test[i].name, std::make_shared<GlyphSet>(std::vector{test_sheets[i]},
                                                                        classes, config.size)});
  task.class_name = [classes](int64_t label) {
    return code_point_name(classes.at(static_cast<size_t>(label)));
  };
  return task;
}

}  // namespace train
