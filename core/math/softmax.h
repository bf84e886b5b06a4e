#pragma once
#include <cmath>
#include <limits>
#include "core/math/exp.h"
#include "core/math/host_device.h"

/// The softmax over classes that are read piece by piece.
namespace core::math {

/// What a sum of exponentials is measured from, so that it cannot overflow: the maximum, or 0 where
/// there is none (no classes, or all -inf).
template <class W>
COLONNADE_HD W reference(W max) {
  return std::isfinite(max) ? max : W(0);
}

/// Maximum of some logits z, and the sum of exp(z - reference(max)). None: {-inf, 0}.
template <class W>
struct SoftmaxSum {
  W max, sum;
};

template <class W>
inline constexpr SoftmaxSum<W> no_classes{-std::numeric_limits<W>::infinity(), 0};

template <class W>
COLONNADE_HD SoftmaxSum<W> merge(SoftmaxSum<W> const& a, SoftmaxSum<W> const& b) {
  W const max = a.max < b.max ? b.max : a.max, ref = reference(max);
  W const scale_a = std::isfinite(a.max) ? exp(a.max - ref) : W(0);
  W const scale_b = std::isfinite(b.max) ? exp(b.max - ref) : W(0);
  return {max, a.sum * scale_a + b.sum * scale_b};
}

/// Merges the statistics of a chunk of `count` logits into stats: maximum, sum, the target's logit.
/// The target is a place in the chunk, or none of it.
template <class W>
COLONNADE_HD void add_chunk(SoftmaxSum<W> const& chunk, W const* z, int64_t count, int64_t target,
                            W* stats) {
  auto const all = merge({stats[0], stats[1]}, chunk);
  stats[0] = all.max;
  stats[1] = all.sum;
  if (0 <= target && target < count) stats[2] = z[target];
}

/// Log of the sum of exp over all the logits.
template <class W>
COLONNADE_HD W log_sum_exp(SoftmaxSum<W> const& s) {
  return reference(s.max) + std::log(s.sum);
}

/// Kernels::softmax_merge, of row r.
template <class W>
struct MergeShards {
  W const* parts;  ///< (shards, rows, 3)
  int64_t shards, rows;
  int64_t const* labels;
  W *lse, *loss;

  COLONNADE_HD void operator()(int64_t r) const {
    auto all = no_classes<W>;
    W target = 0;  // the one shard that holds it has set it
    for (int64_t p = 0; p < shards; ++p) {
      W const* const part = parts + 3 * (p * rows + r);
      all = merge(all, {part[0], part[1]});
      target += part[2];
    }
    lse[r] = log_sum_exp(all);
    loss[r] = labels[r] < 0 ? W(0) : lse[r] - target;
  }
};

/// What a logit's gradient is a multiple of.
template <class W>
COLONNADE_HD W softmax_slope(W z, W lse, bool target) {
  return exp(z - lse) - (target ? W(1) : W(0));
}

}  // namespace core::math
