#include "train/report/picture.h"
#include <algorithm>
#include <unordered_map>
#include "train/report/lettering.h"

namespace train {
namespace {

// Sizes in pixels.
constexpr int64_t tile = 96;  // largest side of an enlarged image; factors are whole numbers
constexpr int64_t margin = 24, gap = 10, border = 4, label_width = 72;
constexpr int64_t header_height = 40, caption_height = 20, band_gap = 24;
constexpr int header_letters = 18, letters = 13;

constexpr Colour paper{252, 252, 250}, ink{36, 41, 47}, pale_ink{110, 119, 129};
constexpr Colour right_green{26, 148, 72}, wrong_red{209, 48, 56}, neutral{216, 222, 228};

/// Rows of a band, from the top.
enum Line { sample_line, prediction_line, truth_line };
constexpr char const* line_names[] = {"sample", "predicted", "label"};

/// The samples of one split, side by side.
struct Band {
  Split const* split;
  std::vector<Prediction const*> samples;
};

bool is_right(Prediction const& p) { return !p.best.empty() && p.best.front() == p.label; }

std::vector<Band> make_bands(std::vector<Shown> const& samples) {
  std::vector<Band> bands;
  for (Shown const& shown : samples) {
    auto band = std::ranges::find(bands, shown.split, &Band::split);
    if (band == bands.end()) band = bands.insert(band, {shown.split, {}});
    band->samples.push_back(&shown.prediction);
  }
  return bands;
}

/// Returns the index of the first training image of each true or predicted class.
std::unordered_map<int64_t, int64_t> find_examples(Dataset const& train,
                                                   std::vector<Shown> const& samples) {
  constexpr int64_t none = -1;
  std::unordered_map<int64_t, int64_t> example;
  for (auto const& [split, prediction] : samples) {
    example.emplace(prediction.label, none);
    if (!prediction.best.empty()) example.emplace(prediction.best.front(), none);
  }
  size_t missing = example.size();
  for (int64_t i = 0; i < train.size() && missing > 0; ++i) {
    auto const wanted = example.find(train.label(i));
    if (wanted == example.end() || wanted->second != none) continue;
    wanted->second = i;
    --missing;
  }
  std::erase_if(example, [](auto const& entry) { return entry.second == none; });
  return example;
}

/// Positions in the picture. They do not depend on fonts, or on which predictions are correct.
class Layout {
 public:
  Layout(core::ImageShape const& image, std::vector<Band> const& bands)
      : scale_(std::max<int64_t>(1, tile / std::max(image.height, image.width))),
        tile_width_(image.width * scale_),
        tile_height_(image.height * scale_),
        bands_(std::ssize(bands)) {
    for (Band const& band : bands) columns_ = std::max(columns_, std::ssize(band.samples));
  }

  int64_t scale() const { return scale_; }
  int64_t width() const { return 2 * margin + label_width + columns_ * column_step() - gap; }
  int64_t height() const { return 2 * margin + bands_ * band_step() - band_gap; }
  /// Top of a band, where its header begins.
  int64_t top(int64_t band) const { return margin + band * band_step(); }
  Box place(int64_t band, int64_t column, Line line) const {
    int64_t y = top(band) + header_height + border;
    if (line >= prediction_line) y += tile_height_ + 2 * border + gap;
    if (line >= truth_line) y += tile_height_ + 2 * border + caption_height;
    return {margin + label_width + border + column * column_step(), y, tile_width_, tile_height_};
  }

 private:
  int64_t column_step() const { return tile_width_ + 2 * border + gap; }
  int64_t band_step() const {
    return header_height + 3 * (tile_height_ + 2 * border) + gap + 2 * caption_height + band_gap;
  }

  int64_t scale_, tile_width_, tile_height_, bands_, columns_ = 0;
};

/// Draws bands.
class Painter {
 public:
  Painter(Canvas& canvas, Task const& task, Layout const& layout,
          std::unordered_map<int64_t, int64_t> examples)
      : canvas_(canvas), task_(task), layout_(layout), examples_(std::move(examples)) {}

  void draw(Band const& band, int64_t at) {
    draw_header(band, at);
    for (int64_t column = 0; column < std::ssize(band.samples); ++column) {
      Prediction const& p = *band.samples[static_cast<size_t>(column)];
      auto const place = [&](Line line) { return layout_.place(at, column, line); };
      draw_image(place(sample_line), *band.split->data, p.sample, neutral);
      if (!p.best.empty())
        draw_class(place(prediction_line), p.best.front(), is_right(p) ? right_green : wrong_red);
      if (!is_right(p)) draw_class(place(truth_line), p.label, neutral);
    }
  }

 private:
  void draw_header(Band const& band, int64_t at) {
    auto const right = std::ranges::count_if(band.samples, [](auto* p) { return is_right(*p); });
    int64_t const foot = layout_.top(at) + header_letters;
    lettering_.write(canvas_, margin, foot, band.split->name, header_letters, ink);
    lettering_.write(canvas_, margin + lettering_.width(band.split->name, header_letters) + gap,
                     foot, core::join(right, " of ", band.samples.size(), " right"), letters,
                     pale_ink);
    for (Line const line : {sample_line, prediction_line, truth_line}) {
      if (line == truth_line && right == std::ssize(band.samples)) continue;
      Box const first = layout_.place(at, 0, line);
      lettering_.write(canvas_, margin, first.y + (first.height + letters) / 2, line_names[line],
                       letters, pale_ink);
    }
  }

  void draw_image(Box const& place, Dataset const& set, int64_t index, Colour frame) {
    std::vector<float> pixels(static_cast<size_t>(set.shape().count()));
    set.read(index, pixels.data());
    canvas_.image(pixels.data(), set.shape(), place.x, place.y, layout_.scale());
    canvas_.frame(place, border, frame);
  }

  /// Draws the training image of a class, if it has one, and the name of the class.
  void draw_class(Box const& place, int64_t label, Colour frame) {
    if (auto const found = examples_.find(label); found != examples_.end())
      draw_image(place, *task_.train.data, found->second, frame);
    else
      canvas_.frame(place, border, frame);
    if (!task_.class_name) return;
    std::string const name = task_.class_name(label);
    int64_t const left = place.x + (place.width - lettering_.width(name, letters)) / 2;
    lettering_.write(canvas_, left, place.y + place.height + border + letters + 2, name, letters,
                     pale_ink);
  }

  Canvas& canvas_;
  Task const& task_;
  Layout const& layout_;
  std::unordered_map<int64_t, int64_t> examples_;
  Lettering lettering_;
};

}  // namespace

void draw_predictions(std::filesystem::path const& png, Task const& task,
                      std::vector<Shown> const& samples) {
  core::check(!samples.empty(), "no samples to draw");
  auto const bands = make_bands(samples);
  Layout const layout(task.train.data->shape(), bands);
  Canvas canvas(layout.width(), layout.height(), paper);
  Painter painter(canvas, task, layout, find_examples(*task.train.data, samples));
  for (int64_t at = 0; at < std::ssize(bands); ++at)
    painter.draw(bands[static_cast<size_t>(at)], at);
  canvas.save_png(png);
}

}  // namespace train
