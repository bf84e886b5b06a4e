#pragma once
#include <algorithm>
#include "core/kernels.h"

namespace core {

/// The shape (N, H', W', Ch) of what a window over x (N, H, W, Ch) gives. Error where x is no batch
/// of images, the window is none, or it does not fit in.
inline Shape windowed(char const* op, Shape const& x, Window const& window) {
  check(x.size() == 4, op, ": x of shape ", x, "; images are (N, H, W, Ch)");
  auto const least = [](Window::Pair const& pair) { return std::min(pair.h, pair.w); };
  check(least(window.size) > 0 && least(window.stride) > 0 && least(window.dilation) > 0 &&
            least(window.padding) >= 0,
        op, ": size, stride and dilation of a window are at least 1, padding at least 0");
  Shape const y{x[0], window.out_height(x[1]), window.out_width(x[2]), x[3]};
  check(y[1] > 0 && y[2] > 0, op, ": no room for a window of ", window.size.h, " x ", window.size.w,
        " in x of shape ", x);
  return y;
}

}  // namespace core
