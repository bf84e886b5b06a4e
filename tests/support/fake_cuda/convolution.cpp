#include "tests/support/fake_cuda/convolution.h"
#include <algorithm>

namespace tests::fake_cuda {

using core::join;

namespace {

/// Calls f(offset in memory, index in NHWC order) for every line of the second dimension.
template <class F>
void for_each_line(Strided const& t, F const& f) {
  int64_t index = 0;
  for (int64_t n = 0; n < t.size[0]; ++n)
    for (int64_t i = 0; i < t.size[2]; ++i)
      for (int64_t j = 0; j < t.size[3]; ++j, index += t.size[1])
        f((n * t.stride[0] + i * t.stride[2] + j * t.stride[3]) *
              static_cast<int64_t>(core::size_of(t.dtype)),
          index);
}

/// One group of channels of a convolution, image by image, as products of matrices: the patches of
/// an image (P, K), the weights (O, K) and the results (P, O), with P positions of the window, K =
/// h w Ch / groups elements under it, and O = Out / groups channels.
class Group {
 public:
  Group(Geometry const& geometry, int64_t group) : g_(geometry), group_(group) {}

  int64_t positions() const { return g_.y.size[2] * g_.y.size[3]; }
  int64_t taps() const { return g_.w.size[1] * g_.w.size[2] * g_.w.size[3]; }
  int64_t out() const { return g_.w.size[0] / (g_.x.size[1] / g_.w.size[1]); }

  /// Returns the patches (P, K) of an image of x. Padding is zero.
  Numbers patches(Numbers const& x, int64_t image) const {
    Numbers patches(static_cast<size_t>(positions() * taps()));
    for_each_patch(image, [&](int64_t pixel, int64_t patch) {
      std::copy_n(x.data() + pixel, g_.w.size[1], patches.data() + patch);
    });
    return patches;
  }

  /// dx += patches (P, K), each where it was taken from.
  void add_patches(Numbers const& patches, int64_t image, Numbers& dx) const {
    for_each_patch(image, [&](int64_t pixel, int64_t patch) {
      for (int64_t c = 0; c < g_.w.size[1]; ++c)
        dx[static_cast<size_t>(pixel + c)] += patches[static_cast<size_t>(patch + c)];
    });
  }

  /// Returns this group's channels (P, O) of an image of y.
  Numbers results(Numbers const& y, int64_t image) const {
    Numbers results(static_cast<size_t>(positions() * out()));
    for (int64_t p = 0; p < positions(); ++p)
      std::copy_n(y.data() + y_index(image, p), out(), results.data() + p * out());
    return results;
  }
  void set_results(Numbers const& results, int64_t image, Numbers& y) const {
    for (int64_t p = 0; p < positions(); ++p)
      std::copy_n(results.data() + p * out(), out(), y.data() + y_index(image, p));
  }

  /// Offset of this group's weights (O, K) in w.
  int64_t weights() const { return group_ * out() * taps(); }

 private:
  int64_t y_index(int64_t image, int64_t position) const {
    return (image * positions() + position) * g_.y.size[1] + group_ * out();
  }

  /// Calls f(index of the first channel in x, index in the patches) for all that are inside.
  template <class F>
  void for_each_patch(int64_t image, F const& f) const {
    auto const [stride, before, after, dilation, flipped] = g_.window;
    int64_t const rows = g_.x.size[2], columns = g_.x.size[3], h = g_.w.size[2], w = g_.w.size[3];
    for (int64_t p = 0; p < positions(); ++p)
      for (int64_t a = 0; a < h; ++a)
        for (int64_t b = 0; b < w; ++b) {
          int64_t const row = p / g_.y.size[3] * stride[0] - before[0] + a * dilation[0];
          int64_t const column = p % g_.y.size[3] * stride[1] - before[1] + b * dilation[1];
          if (row < 0 || row >= rows || column < 0 || column >= columns) continue;
          int64_t const tap = flipped ? (h - 1 - a) * w + w - 1 - b : a * w + b;
          f(((image * rows + row) * columns + column) * g_.x.size[1] + group_ * g_.w.size[1],
            p * taps() + tap * g_.w.size[1]);
        }
  }

  Geometry const& g_;
  int64_t group_;
};

void forward(Geometry const& g, Group const& group, Numbers const& x, Numbers const& w,
             Numbers& y) {
  int64_t const taps = group.taps(), out = group.out(), positions = group.positions();
  auto const begin = w.begin() + group.weights();
  Numbers const weights = transposed(Numbers(begin, begin + out * taps), out, taps);
  for (int64_t image = 0; image < g.x.size[0]; ++image) {
    Numbers results(static_cast<size_t>(positions * out));
    add_product(positions, out, taps, group.patches(x, image).data(), weights.data(),
                results.data());
    group.set_results(results, image, y);
  }
}

void backward_data(Geometry const& g, Group const& group, Numbers const& dy, Numbers const& w,
                   Numbers& dx) {
  int64_t const taps = group.taps(), out = group.out(), positions = group.positions();
  for (int64_t image = 0; image < g.x.size[0]; ++image) {
    Numbers patches(static_cast<size_t>(positions * taps));
    add_product(positions, taps, out, group.results(dy, image).data(), w.data() + group.weights(),
                patches.data());
    group.add_patches(patches, image, dx);
  }
}

void backward_filter(Geometry const& g, Group const& group, Numbers const& x, Numbers const& dy,
                     Numbers& dw) {
  int64_t const taps = group.taps(), out = group.out(), positions = group.positions();
  for (int64_t image = 0; image < g.x.size[0]; ++image) {
    Numbers const results = transposed(group.results(dy, image), positions, out);
    add_product(out, taps, positions, results.data(), group.patches(x, image).data(),
                dw.data() + group.weights());
  }
}

}  // namespace

size_t Strided::bytes() const {
  int64_t last = 0;
  for (size_t i = 0; i < size.size(); ++i) last += (size[i] - 1) * stride[i];
  return static_cast<size_t>(last + 1) * core::size_of(dtype);
}

Numbers Strided::load(void const* data) const {
  Numbers numbers(static_cast<size_t>(count()));
  for_each_line(*this, [&](int64_t offset, int64_t index) {
    read(dtype, static_cast<std::byte const*>(data) + offset, stride[1], size[1],
         numbers.data() + index);
  });
  return numbers;
}

void Strided::store(Numbers const& numbers, void* data) const {
  for_each_line(*this, [&](int64_t offset, int64_t index) {
    write(numbers.data() + index, size[1], dtype, static_cast<std::byte*>(data) + offset,
          stride[1]);
  });
}

std::string Geometry::misfit() const {
  if (x.size[0] != y.size[0]) return join(x.size[0], " images in x, ", y.size[0], " in y");
  if (w.size[0] != y.size[1]) return join(w.size[0], " channels of w, ", y.size[1], " of y");
  if (x.size[1] % w.size[1] != 0 || w.size[0] % (x.size[1] / w.size[1]) != 0)
    return join(x.size[1], " channels of x, ", w.size[1], " of w: no number of groups fits");
  for (size_t i = 0; i < 2; ++i) {
    int64_t const covered = window.dilation[i] * (w.size[2 + i] - 1) + 1;
    int64_t const room = x.size[2 + i] + window.before[i] + window.after[i] - covered;
    if (room < 0 || y.size[2 + i] != room / window.stride[i] + 1)
      return join("spatial dimension ", i, ": ", x.size[2 + i], " of x, ", w.size[2 + i], " of w, ",
                  y.size[2 + i], " of y");
  }
  return {};
}

Numbers convolve(Pass pass, Geometry const& geometry, Numbers const& first, Numbers const& second) {
  Strided const& result = pass == Pass::forward         ? geometry.y
                          : pass == Pass::backward_data ? geometry.x
                                                        : geometry.w;
  auto* const one_group = pass == Pass::forward         ? forward
                          : pass == Pass::backward_data ? backward_data
                                                        : backward_filter;
  Numbers numbers(static_cast<size_t>(result.count()));
  for (int64_t group = 0; group < geometry.x.size[1] / geometry.w.size[1]; ++group)
    one_group(geometry, Group(geometry, group), first, second, numbers);
  return numbers;
}

}  // namespace tests::fake_cuda
