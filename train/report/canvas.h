#pragma once
#include <filesystem>
#include <string>
#include "train/data/dataset.h"

namespace train {

struct Colour {
  uint8_t red, green, blue;
  bool operator==(Colour const&) const = default;
};

/// A rectangle of pixels; y counts down from the top.
struct Box {
  int64_t x, y, width, height;
};

/// A picture in 8-bit RGB. What passes its edges is not drawn.
class Canvas {
 public:
  Canvas(int64_t width, int64_t height, Colour background);

  int64_t width() const { return width_; }
  int64_t height() const { return height_; }

  void fill(Box const& box, Colour colour);
  /// A border of `thickness` pixels right outside the box.
  void frame(Box const& box, int64_t thickness, Colour colour);
  /// An image of `shape` as a data set gives it, [0, 1], with its first pixel at (x, y) and each
  /// pixel drawn as a square of `scale`. Three channels are colours; else the first one is grey.
  void image(float const* pixels, core::ImageShape const& shape, int64_t x, int64_t y,
             int64_t scale);
  /// Mixes `colour` into one pixel: `share` of 255.
  void blend(int64_t x, int64_t y, Colour colour, uint8_t share);

  /// Throws IoError.
  void save_png(std::filesystem::path const& path) const;

 private:
  int64_t width_, height_;
  std::vector<Colour> pixels_;  ///< row-major
};

}  // namespace train
