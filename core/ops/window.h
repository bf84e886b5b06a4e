#pragma once
#include <algorithm>
#include "core/kernels.h"

namespace core {

/// Returns the shape (N, H', W', Ch) of a window operation on x (N, H, W, Ch). `op` is the
/// operation's name, for messages.
/// Throws: Error if x does not have 4 axes, a size of the window is invalid, or the window does not
/// fit into the padded image.
inline Shape windowed(char const* op, Shape const& x, Window const& window) {
  check(x.size() == 4, op, ": x of shape ", x, "; expected (N, H, W, Ch)");
  auto const least = [](Window::Pair const& pair) { return std::min(pair.h, pair.w); };
  check(least(window.size) > 0 && least(window.stride) > 0 && least(window.dilation) > 0 &&
            least(window.padding) >= 0,
        op, ": window size, stride and dilation must be at least 1, padding at least 0");
  Shape const y{x[0], window.out_height(x[1]), window.out_width(x[2]), x[3]};
  check(y[1] > 0 && y[2] > 0, op, ": no room for a window of ", window.size.h, " x ", window.size.w,
        " in x of shape ", x);
  return y;
}

}  // namespace core
