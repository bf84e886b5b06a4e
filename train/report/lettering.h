#pragma once
#include <memory>
#include <string>
#include "train/report/canvas.h"

namespace train {

/// Writes text on a canvas in a system font. Does nothing if no font is found.
class Lettering {
 public:
  Lettering();
  ~Lettering();

  /// Returns the width of `text` (UTF-8) in pixels, at an em of `size` pixels.
  int64_t width(std::string const& text, int size);

  /// Writes one line of text that starts at x, with its baseline at y. Characters that the font
  /// lacks are skipped.
  void write(Canvas& canvas, int64_t x, int64_t y, std::string const& text, int size,
             Colour colour);

 private:
  struct Handles;
  std::unique_ptr<Handles> handles_;  ///< null without a font
};

}  // namespace train
