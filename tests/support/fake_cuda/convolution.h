#pragma once
#include <array>
#include "tests/support/fake_cuda/numbers.h"

/// Convolutions of the stand-in for cuDNN.
namespace tests::fake_cuda {

/// Tensor of 4 dimensions in memory: images (N, Ch, H, W), weights (Out, Ch / groups, h, w) or a
/// bias (1, Out, 1, 1), in any order of memory.
struct Strided {
  core::Dtype dtype{};
  std::array<int64_t, 4> size{}, stride{};  ///< strides in elements

  /// Extent in memory.
  size_t bytes() const;
  /// Number of elements.
  int64_t count() const { return size[0] * size[1] * size[2] * size[3]; }

  /// Returns the elements with the second dimension last: NHWC.
  Numbers load(void const* data) const;
  /// Writes NHWC elements, rounded to the dtype.
  void store(Numbers const& numbers, void* data) const;
};

enum class Pass { forward, backward_data, backward_filter };

/// Stride, padding before the first row and column, and dilation of a window, in rows and columns.
struct Sliding {
  std::array<int64_t, 2> stride{}, before{}, after{}, dilation{};
  bool flipped = false;  ///< a convolution instead of a cross-correlation
};

/// Sizes of a convolution of images x with weights w into y.
struct Geometry {
  Strided x, w, y;
  Sliding window;

  /// Empty if the sizes fit, or else the reason why not.
  std::string misfit() const;
};

/// Returns the result of a pass from its two inputs, all NHWC, with sums in f64: y from x and w, dx
/// from dy and w, or dw from x and dy.
Numbers convolve(Pass pass, Geometry const& geometry, Numbers const& first, Numbers const& second);

}  // namespace tests::fake_cuda
