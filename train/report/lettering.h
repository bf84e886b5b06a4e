#pragma once
#include <memory>
#include <string>
#include "train/report/canvas.h"

namespace train {

/// Writes lines of text on a canvas in a font of the system; where none is found, nothing.
class Lettering {
 public:
  Lettering();
  ~Lettering();

  /// Pixels that `text` (UTF-8) is wide, in letters whose em is `size` pixels.
  int64_t width(std::string const& text, int size);

  /// Writes from x on, the letters' foot at y. Characters the font lacks are left out.
  void write(Canvas& canvas, int64_t x, int64_t y, std::string const& text, int size,
             Colour colour);

 private:
  struct Handles;
  std::unique_ptr<Handles> handles_;  ///< null without a font
};

}  // namespace train
