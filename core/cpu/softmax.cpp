#include "core/math/softmax.h"
#include <limits>
#include "core/cpu/dispatch.h"
#include "core/cpu/kernels.h"
#include "core/cpu/rows.h"
#include "core/math/wide.h"

namespace core::cpu {
namespace {

using math::SoftmaxSum;

template <class W>
constexpr SoftmaxSum<W> no_classes{-std::numeric_limits<W>::infinity(), 0};

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
  auto all = no_classes<W>;
  for (int64_t c = 0; c < n; c += tile)
    all = math::merge(all, tile_sum(bias ? bias + c : nullptr, std::min(tile, n - c), z + c));
  return all;
}

template <class W, class T>
void row_gradient(W const* z, W lse, int64_t target, W factor, int64_t n, T* g) {
  simd(0, n, [=](int64_t c) { g[c] = T(factor * math::exp(z[c] - lse)); });
  if (0 <= target && target < n) g[target] = T(factor * (math::exp(z[target] - lse) - 1));
}

/// The best classes so far, best first.
template <class W>
struct Best {
  W* scores;
  int64_t* classes;
  int64_t k;

  bool admits(W score, int64_t number) const {
    return score > scores[k - 1] || (score == scores[k - 1] && number < classes[k - 1]);
  }
  void insert(W score, int64_t number) {
    int64_t at = k - 1;
    for (; at > 0; --at) {
      bool const after =
          score < scores[at - 1] || (score == scores[at - 1] && number > classes[at - 1]);
      if (after) break;
      scores[at] = scores[at - 1];
      classes[at] = classes[at - 1];
    }
    scores[at] = score;
    classes[at] = number;
  }
};

/// Most pieces have nothing that is better than the k-th so far: their maximum tells.
template <class W>
void row_top_k(W const* z, int64_t n, int64_t first, Best<W> best) {
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
                 W *const row = logits + r * n, *const old = out + 3 * r;
                 auto const all = math::merge({old[0], old[1]}, row_sum(b, n, row));
                 int64_t const target = label[r] - first;
                 old[0] = all.max;
                 old[1] = all.sum;
                 if (0 <= target && target < n) old[2] = row[target];
               }
             });
  });
}

void CpuKernels::softmax_merge(Tensor const& parts, Tensor const& labels, Tensor& lse,
                               Tensor& loss) {
  visit_wide(parts.dtype(), [&]<class W>() {
    int64_t const count = labels.count();
    for (int64_t r = 0; r < count; ++r) {
      auto all = no_classes<W>;
      W target = 0;  // the one shard that holds it has set it
      for (int64_t p = 0; p < parts.size(0); ++p) {
        W const* const part = parts.data<W>() + 3 * (p * count + r);
        all = math::merge(all, {part[0], part[1]});
        target += part[2];
      }
      lse.data<W>()[r] = math::log_sum_exp(all);
      loss.data<W>()[r] = labels.data<int64_t>()[r] < 0 ? 0 : math::log_sum_exp(all) - target;
    }
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
                 row_top_k(in + r * n, n, first, Best<W>{best + r * k, number + r * k, k});
             });
  });
}

}  // namespace core::cpu
