#include "core/cpu/kernels.h"
#include "core/cpu/rows.h"
#include "core/dispatch.h"
#include "core/math/accumulator.h"
#include "core/math/batch_norm.h"

namespace core::cpu {
namespace {

using math::Accumulator;
using math::Moments;

/// Running moments of every channel, in f64: means[Ch], then squares[Ch].
class ChannelMoments {
 public:
  ChannelMoments(double* storage, int64_t width)
      : mean_(storage), squares_(storage + width), width_(width) {
    std::fill_n(storage, 2 * width, 0);
  }

  template <class Acc>
  void merge(int64_t count, Acc const* mean, Acc const* squares) {
    auto const old = static_cast<double>(count_), added = static_cast<double>(count);
#pragma omp simd
    for (int64_t c = 0; c < width_; ++c) {
      auto const all = math::merge(Moments<double>{old, mean_[c], squares_[c]},
                                   Moments<double>{added, mean[c], squares[c]});
      mean_[c] = all.mean;
      squares_[c] = all.squares;
    }
    count_ += count;
  }

 private:
  int64_t count_ = 0;
  double *mean_, *squares_;
  int64_t width_;
};

/// Mean and sum of squared differences of a tile, in two passes; the tile stays in the cache.
template <class T, class Acc>
void tile_moments(T const* x, int64_t tile, int64_t width, Acc* mean, Acc* squares) {
  std::fill_n(mean, width, Acc(0));
  std::fill_n(squares, width, Acc(0));
  for (int64_t r = 0; r < tile; ++r) {
    simd(0, width, [=](int64_t c) { mean[c] += x[r * width + c]; });
  }
  for (int64_t c = 0; c < width; ++c) mean[c] /= static_cast<Acc>(tile);
  for (int64_t r = 0; r < tile; ++r) {
    simd(0, width, [=](int64_t c) {
      Acc const gap = x[r * width + c] - mean[c];
      squares[c] += gap * gap;
    });
  }
}

/// Moments of each block of rows: blocks (blocks, 2, Ch), mean and sum of squared differences.
template <class T>
void block_moments(Tensor const& x, Tensor& blocks) {
  using Acc = Accumulator<T>;
  int64_t const width = channels(x), count = rows(x), size = block_rows(count);
  Tensor tiles(x.device(), blocks.shape(), dtype_of<Acc>);
  for_blocks(count, size,
             [=, in = x.data<T>(), tile = tiles.data<Acc>(), block = blocks.data<double>()](
                 int64_t begin, int64_t end) {
               int64_t const at = begin / size * 2 * width;
               ChannelMoments sum(block + at, width);
               Acc *const mean = tile + at, *const squares = mean + width;
               for_tiles(begin, end, [&](int64_t first, int64_t last) {
                 tile_moments(in + first * width, last - first, width, mean, squares);
                 sum.merge(last - first, mean, squares);
               });
             });
}

template <class T>
void moments_of(Tensor const& x, Tensor& moments) {
  using Acc = Accumulator<T>;
  int64_t const width = channels(x), count = rows(x), size = block_rows(count);
  Tensor blocks(x.device(), {(count + size - 1) / size, 2, width}, Dtype::f64);
  Tensor total(x.device(), {2, width}, Dtype::f64);
  block_moments<T>(x, blocks);
  ChannelMoments sum(total.data<double>(), width);
  for (int64_t begin = 0; begin < count; begin += size) {
    double const* const block = blocks.data<double>() + begin / size * 2 * width;
    sum.merge(std::min(size, count - begin), block, block + width);
  }
  Acc* const out = moments.data<Acc>();
  std::fill_n(out, width, static_cast<Acc>(count));
  std::copy_n(total.data<double>(), 2 * width, out + width);
}

}  // namespace

void CpuKernels::batch_statistics(Tensor const& x, Tensor& moments) {
  visit_floating(x.dtype(), [&]<class T>() { moments_of<T>(x, moments); });
}

void CpuKernels::merge_statistics(Tensor const& parts, double momentum, Tensor& merged,
                                  Tensor& running_mean, Tensor& running_variance) {
  visit_wide(parts.dtype(), [&]<class Acc>() {
    math::MergeChannel<Acc> const merge{
        parts.data<Acc>(),           parts.size(0),      channels(parts),
        static_cast<Acc>(momentum),  merged.data<Acc>(), running_mean.data<Acc>(),
        running_variance.data<Acc>()};
    for (int64_t c = 0; c < merge.width; ++c) merge(c);
  });
}

}  // namespace core::cpu
