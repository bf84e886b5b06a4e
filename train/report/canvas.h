#pragma once
#include <filesystem>
#include <string>
#include "train/data/dataset.h"

namespace train {

struct Colour {
  uint8_t red, green, blue;
  bool operator==(Colour const&) const = default;
};

/// A rectangle in pixels; y is measured from the top.
struct Box {
  int64_t x, y, width, height;
};

/// An 8-bit RGB picture. Drawing is clipped to its area.
class Canvas {
 public:
  Canvas(int64_t width, int64_t height, Colour background);

  int64_t width() const { return width_; }
  int64_t height() const { return height_; }

  void fill(Box const& box, Colour colour);
  /// Draws a border of `thickness` pixels around the box, outside of it.
  void frame(Box const& box, int64_t thickness, Colour colour);
  /// Draws an image of `shape` with pixels in [0, 1], as Dataset::read returns them, with its top
  /// left corner at (x, y). Each pixel becomes a square of `scale` pixels. Three channels are RGB;
  /// with any other number, the first channel is drawn in gray.
  void image(float const* pixels, core::ImageShape const& shape, int64_t x, int64_t y,
             int64_t scale);
  /// Blends `colour` into one pixel with opacity share / 255.
  void blend(int64_t x, int64_t y, Colour colour, uint8_t share);

  /// Writes the picture as a PNG file.
  /// Throws: IoError if the file cannot be written.
  void save_png(std::filesystem::path const& path) const;

 private:
  int64_t width_, height_;
  std::vector<Colour> pixels_;  ///< row-major
};

}  // namespace train
