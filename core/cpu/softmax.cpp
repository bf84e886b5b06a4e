#include "core/math/softmax.h"
#include "core/cpu/kernels.h"
#include "core/cpu/rows.h"
#include "core/dispatch.h"
#include "core/math/top_k.h"
#include "core/math/wide.h"

namespace core::cpu {
namespace {

using math::SoftmaxSum;

/// Adds the bias, unless null, to a tile of n logits, and sums it up.
template <class W>
SoftmaxSum<W> tile_sum(W const* bias, int64_t n, W* z) {
  if (bias) simd(0, n, [=](int64_t c) { z[c] += bias[c]; });
  W const max = simd_max(z, n), ref = math::reference(max);
  return {max, simd_sum<W>(n, [=](int64_t c) { return math::exp(z[c] - ref); })};
}

/// Tiles of a row stay in cache between the passes over them, and keep f32 sums accurate.
template <class W>
SoftmaxSum<W> row_sum(W const* bias, int64_t n, W* z) {
  constexpr int64_t tile = 4096;
  auto all = math::no_classes<W>;
  for (int64_t c = 0; c < n; c += tile)
    all = math::merge(all, tile_sum(bias ? bias + c : nullptr, std::min(tile, n - c), z + c));
  return all;
}

template <class W, class T>
void row_gradient(W const* z, W lse, int64_t target, W factor, int64_t n, T* g) {
  simd(0, n, [=](int64_t c) { g[c] = T(factor * math::softmax_slope(z[c], lse, false)); });
  if (0 <= target && target < n) g[target] = T(factor * math::softmax_slope(z[target], lse, true));
}

/// Most pieces have nothing that is better than the k-th so far: their maximum tells.
template <class W>
void row_top_k(W const* z, int64_t n, int64_t first, math::Best<W> best) {
  constexpr int64_t piece = 64;
  for (int64_t begin = 0; begin < n; begin += piece) {
    int64_t const end = std::min(n, begin + piece);
    if (simd_max(z + begin, end - begin) < best.scores[best.k - 1]) continue;
    for (int64_t c = begin; c < end; ++c)
      if (best.admits(z[c], first + c)) best.insert(z[c], first + c);
  }
}

}  // namespace

void CpuKernels::softmax_statistics(Tensor const& bias, Tensor const& labels, int64_t first,
                                    Tensor& z, Tensor& stats) {
  visit_wide(z.dtype(), [&]<class W>() {
    int64_t const n = channels(z);
    for_rows(rows(z), n,
             [=, b = data_or_null<W>(bias), label = labels.data<int64_t>(), logits = z.data<W>(),
              out = stats.data<W>()](int64_t begin, int64_t end) {
               for (int64_t r = begin; r < end; ++r) {
                 W* const row = logits + r * n;
                 auto const sum = row_sum(b, n, row);
                 math::add_chunk(sum, row, n, label[r] - first, out + 3 * r);
               }
             });
  });
}

void CpuKernels::softmax_merge(Tensor const& parts, Tensor const& labels, Tensor& lse,
                               Tensor& loss) {
  visit_wide(parts.dtype(), [&]<class W>() {
    math::MergeShards<W> const merge_row{parts.data<W>(),        parts.size(0), labels.count(),
                                         labels.data<int64_t>(), lse.data<W>(), loss.data<W>()};
    for (int64_t r = 0; r < labels.count(); ++r) merge_row(r);
  });
}

void CpuKernels::softmax_gradient(Tensor const& z, Tensor const& lse, Tensor const& labels,
                                  int64_t first, double factor, Tensor& g) {
  visit_floating(g.dtype(), [&]<class T>() {
    using W = math::Wide<T>;
    int64_t const n = channels(z);
    for_rows(rows(z), n,
             [=, in = z.data<W>(), log_sum = lse.data<W>(), label = labels.data<int64_t>(),
              out = g.data<T>()](int64_t begin, int64_t end) {
               for (int64_t r = begin; r < end; ++r) {
                 T* const row = out + r * n;
                 if (label[r] < 0)
                   std::fill_n(row, n, T(0));
                 else
                   row_gradient(in + r * n, log_sum[r], label[r] - first, static_cast<W>(factor), n,
                                row);
               }
             });
  });
}

void CpuKernels::top_k(Tensor const& z, int64_t first, Tensor& scores, Tensor& classes) {
  if (scores.count() == 0) return;
  visit_wide(z.dtype(), [&]<class W>() {
    int64_t const n = channels(z), k = channels(scores);
    for_rows(rows(z), n,
             [=, in = z.data<W>(), best = scores.data<W>(), number = classes.data<int64_t>()](
                 int64_t begin, int64_t end) {
               for (int64_t r = begin; r < end; ++r)
                 row_top_k(in + r * n, n, first, math::Best<W>{best + r * k, number + r * k, k});
             });
  });
}

}  // namespace core::cpu
