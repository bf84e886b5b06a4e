#include "core/math/softmax.h"
#include "core/cpu/kernels.h"
#include "core/cpu/rows.h"
#include "core/logit_rule.h"
#include "core/math/accumulator.h"

namespace core::cpu {
namespace {

using math::RowGradient;
using math::RowStatistics;
using math::SoftmaxSum;
using math::TileSum;

/// One row of a chunk's products, converted to logits of non-target classes.
template <class Acc, class Others>
struct LogitRow {
  Acc const* z;
  Acc const* bias;  ///< or null
  Others others;
  int64_t n, target;  ///< index of the target in the row; outside [0, n) if it is not in this chunk

  bool has_target() const { return 0 <= target && target < n; }
  /// Classes [begin, end) of the row.
  LogitRow part(int64_t begin, int64_t end) const {
    return {z + begin, bias ? bias + begin : nullptr, others, end - begin, target - begin};
  }
  template <bool biased>
  Acc logit(int64_t c) const {
    if constexpr (biased) return others.logit(z[c]) + bias[c];
    return others.logit(z[c]);
  }
  /// Calls f(logits, max, begin, count) for blocks of the row, with -inf in place of the target's
  /// logit. A block stays in the L1 cache between passes over it, and short sums keep f32 accurate.
  template <class F>
  void each_block(F const& f) const {
    constexpr int64_t block = 1024;
    Acc logits[block];
    for (int64_t begin = 0; begin < n; begin += block) {
      int64_t const count = std::min(block, n - begin);
      Acc max = write(begin, count, logits);
      if (begin <= target && target < begin + count) {
        logits[target - begin] = -std::numeric_limits<Acc>::infinity();
        max = simd_max<Acc>(count, [&](int64_t i) { return logits[i]; });
      }
      f(logits, max, begin, count);
    }
  }

 private:
  /// Writes the logits of a block and returns their maximum.
  Acc write(int64_t begin, int64_t count, Acc* logits) const {
    Acc max = 0;
    with(bias != nullptr, [&](auto biased) {
      max = simd_max<Acc>(count, [=, row = *this](int64_t i) {
        return logits[i] = row.template logit<decltype(biased)::value>(begin + i);
      });
    });
    return max;
  }
};

/// Calls work(r, row) for the rows of a chunk, on all threads.
template <class Acc, class F>
void for_logit_rows(LogitRule const& rule, ClassChunk const& chunk, Tensor const& labels,
                    Tensor const& z, F const& work) {
  with_others<Acc>(rule, [&](auto const& others) {
    int64_t const n = channels(z);
    for_rows(z.size(0), n, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        work(r, LogitRow<Acc, decltype(others.at(r))>{z.data<Acc>() + r * n,
                                                      data_or_null<Acc>(chunk.bias), others.at(r),
                                                      n, labels.data<int64_t>()[r] - chunk.first});
    });
  });
}

/// Returns the sum of class weight times logit over non-target classes.
template <class Acc, class Logits>
Acc logits_sum(Logits const& row, Acc const* weights) {
  Acc sum = 0;
  row.each_block([&](Acc const* logits, Acc, int64_t begin, int64_t count) {
    auto const add = [&](int64_t from, int64_t to) {
      sum += simd_sum<Acc>(to - from, [=, logits = logits + from](int64_t i) {
        return (weights ? weights[begin + from + i] : Acc(1)) * logits[i];
      });
    };
    int64_t const target = row.target - begin;
    bool const here = 0 <= target && target < count;
    add(0, here ? target : count);
    if (here) add(target + 1, count);
  });
  return sum;
}

/// Merges the target into a row's statistics if it is in this chunk.
template <class Acc, class Logits>
void merge_target(Logits const& row, TargetRule<Acc> const& rule, int64_t r, Acc* stats) {
  if (row.has_target()) math::merge_into(stats, {rule(r, row.target, row.z[row.target], stats), 0});
}

template <class Acc, class Logits>
SoftmaxSum<Acc> others_sum(Logits const& row) {
  auto all = math::no_classes<Acc>;
  row.each_block([&](Acc const* logits, Acc max, int64_t, int64_t count) {
    Acc const ref = math::reference(max);
    Acc const sum = simd_sum<Acc>(count, [=](int64_t i) { return math::exp(logits[i] - ref); });
    all = math::merge(all, {max, sum});
  });
  return all;
}

template <class Acc, class Logits>
Acc others_max(Logits const& row) {
  Acc all = -std::numeric_limits<Acc>::infinity();
  row.each_block([&](Acc const*, Acc max, int64_t, int64_t) { all = std::max(all, max); });
  return all;
}

/// e := exp(logit - ref) dz/dp for non-target classes; returns the sum of exp(logit - ref).
template <class Acc, class T, class Logits>
Acc write_exponentials(Logits const& row, Acc ref, T* e) {
  Acc sum = 0;
  row.each_block([&](Acc const* logits, Acc, int64_t begin, int64_t count) {
    sum +=
        simd_sum<Acc>(count, [=, e = e + begin, others = row.others, z = row.z + begin](int64_t i) {
          Acc const x = math::exp(logits[i] - ref);
          e[i] = T(x * others.slope(z[i]));
          return x;
        });
  });
  return sum;
}

/// Calls sum(part, begin) for the tiles of a row of a chunk, and writes the results.
template <class Acc, class Logits, class F>
void write_tiles(Logits const& row, TargetRule<Acc> const& rule, int64_t r, Tensor& tiles,
                 F const& sum) {
  auto* out = reinterpret_cast<TileSum<Acc>*>(tiles.data<Acc>()) + r;
  for (int64_t begin = 0; begin < row.n; begin += math::tile_classes, out += tiles.size(1)) {
    auto const part = row.part(begin, std::min(begin + math::tile_classes, row.n));
    Acc const* const weights = rule.weights ? rule.weights + begin : nullptr;
    *out = {sum(part, begin), rule.sum_logits ? logits_sum(part, weights) : Acc(0)};
  }
}

/// Writes the exponentials of a tile and returns their reference and sum.
template <class Acc, class T, class Logits>
SoftmaxSum<Acc> exponentials_of(Logits const& tile, Acc of_row, T* e) {
  Acc const ref = math::tile_reference(others_max<Acc>(tile), of_row);
  return {ref, write_exponentials(tile, math::reference(ref), e)};
}

/// Multiplies n elements by `factor`.
template <class T, class Acc>
void multiply(Acc factor, int64_t n, T* values) {
  simd(0, n, [=](int64_t i) { values[i] = T(factor * Acc(values[i])); });
}

/// Kernels::softmax_align for row r.
template <class T, class Acc>
void align_row(int64_t r, Acc const* rows, int64_t chunk, Tensor& tiles, Acc& reference, Columns& e,
               Tensor& sums) {
  auto* const of_row = reinterpret_cast<TileSum<Acc>*>(tiles.data<Acc>()) + r;
  int64_t const count = tiles.size(0), stride = tiles.size(1);
  Acc now = reference;
  for (int64_t t = 0; t < count; ++t) now = std::max(now, of_row[t * stride].exponentials.max);
  if (rows) now = math::aligned_reference(now, rows[RowGradient::count * r + RowGradient::lse]);
  for (int64_t t = 0; t < count; ++t) {
    auto& tile = of_row[t * stride].exponentials;
    if (tile.max == now || !std::isfinite(tile.max)) continue;
    math::TileColumns const columns(t, chunk, e.count);
    Acc const factor = math::rescale(tile.max, now);
    multiply(factor, columns.end - columns.begin, e.data<T>() + r * e.pitch() + columns.begin);
    tile = {now, tile.sum * factor};
  }
  if (sums && now != reference)
    multiply(math::rescale(reference, now), sums.size(1), sums.data<Acc>() + r * sums.size(1));
  reference = now;
}

template <class Acc, class T, class Logits>
void gradient_row(Logits const& row, Acc const* factors, Acc const* weights, T* g) {
  with(row.bias != nullptr, [&](auto biased) {
    with(weights != nullptr, [&](auto weighted) {
      simd(0, row.n,
           [=, lse = factors[RowGradient::lse],
            gradient = math::OtherGradient<Acc>(factors)](int64_t c) {
             Acc const x = math::exp(row.template logit<decltype(biased)::value>(c) - lse);
             g[c] = T(gradient(x, row.others.slope(row.z[c]), weighted ? weights[c] : Acc(1)));
           });
    });
  });
  if (row.has_target()) g[row.target] = T(factors[RowGradient::target]);
}

/// Converts stored exponentials, relative to ref and multiplied by slopes, to gradients in place.
/// `scale` is the slope of all classes if there is label smoothing.
template <class Acc, class T>
void stored_row(Acc const* factors, Acc ref, Acc scale, Acc const* weights, int64_t n,
                int64_t target, T* e) {
  Acc const share = factors[RowGradient::softmax] * math::exp(ref - factors[RowGradient::lse]);
  Acc const uniform = factors[RowGradient::uniform] * scale;
  with(uniform != 0, [&](auto smooth) {
    simd(0, n, [=](int64_t c) {
      Acc g = share * Acc(e[c]);
      if constexpr (smooth) g -= uniform * (weights ? weights[c] : Acc(1));
      e[c] = T(g);
    });
  });
  if (0 <= target && target < n) e[target] = T(factors[RowGradient::target]);
}

}  // namespace

void CpuKernels::softmax_statistics(LogitRule const& rule, ClassChunk const& chunk,
                                    Tensor const& labels, Tensor const& z, Tensor& stats,
                                    Tensor& tiles) {
  visit_wide(z.dtype(), [&]<class Acc>() {
    TargetRule<Acc> const target_rule(rule, chunk);
    for_logit_rows<Acc>(rule, chunk, labels, z, [&](int64_t r, auto const& row) {
      merge_target(row, target_rule, r, stats.data<Acc>() + RowStatistics::count * r);
      write_tiles(row, target_rule, r, tiles,
                  [](auto const& tile, int64_t) { return others_sum<Acc>(tile); });
    });
  });
}

void CpuKernels::softmax_reference(LogitRule const& rule, ClassChunk const& chunk,
                                   Tensor const& labels, Tensor const& z, Tensor& reference) {
  visit_wide(z.dtype(), [&]<class Acc>() {
    TargetRule<Acc> const target_rule(rule, chunk);
    for_logit_rows<Acc>(rule, chunk, labels, z, [&](int64_t r, auto const& row) {
      auto const tile = row.part(0, std::min(row.n, math::tile_classes));
      Acc max = others_max<Acc>(tile), unused[RowStatistics::count] = {};
      if (tile.has_target())
        max = std::max(max, target_rule(r, tile.target, tile.z[tile.target], unused).max);
      reference.data<Acc>()[r] = max;
    });
  });
}

void CpuKernels::softmax_exponentials(LogitRule const& rule, ClassChunk const& chunk,
                                      Tensor const& labels, Tensor const& z,
                                      Tensor const& reference, Tensor& stats, Tensor& tiles,
                                      Columns& e) {
  visit_floating(e.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    TargetRule<Acc> const target_rule(rule, chunk);
    for_logit_rows<Acc>(rule, chunk, labels, z, [&](int64_t r, auto const& row) {
      merge_target(row, target_rule, r, stats.data<Acc>() + RowStatistics::count * r);
      Acc const of_row = reference.data<Acc>()[r];
      T* const out = e.data<T>() + r * e.pitch();
      write_tiles(row, target_rule, r, tiles, [=](auto const& tile, int64_t begin) {
        return exponentials_of(tile, of_row, out + begin);
      });
    });
  });
}

void CpuKernels::softmax_align(Tensor const& rows, int64_t chunk, Tensor& tiles, Tensor& reference,
                               Columns& e, Tensor& sums) {
  visit_floating(e.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    Acc const* const of_rows = data_or_null<Acc>(rows);
    for_rows(e.rows(), e.count, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        align_row<T>(r, of_rows, chunk, tiles, reference.data<Acc>()[r], e, sums);
    });
  });
}

void CpuKernels::softmax_targets(int64_t first, Tensor const& labels, Tensor const& rows,
                                 Tensor const& factors, Columns& e) {
  visit_floating(e.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    for (int64_t r = 0; r < e.rows(); ++r) {
      int64_t const target = labels.data<int64_t>()[r] - first;
      if (target < 0 || target >= e.count) continue;
      e.data<T>()[r * e.pitch() + target] = T(RowGradient::target_exponential(
          rows.data<Acc>() + RowGradient::count * r, factors.data<Acc>()[r]));
    }
  });
}

void CpuKernels::softmax_gradient(LogitRule const& rule, ClassChunk const& chunk,
                                  Tensor const& labels, Tensor const& z, Tensor const& rows,
                                  Tensor& g) {
  visit_floating(g.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    for_logit_rows<Acc>(rule, chunk, labels, z, [&](int64_t r, auto const& row) {
      Acc const* const factors = rows.data<Acc>() + RowGradient::count * r;
      T* const out = g.data<T>() + r * row.n;
      if (RowGradient::counts(factors))
        gradient_row(row, factors, data_or_null<Acc>(chunk.weights), out);
      else
        std::fill_n(out, row.n, T(Acc(0)));
    });
  });
}

void CpuKernels::softmax_gradient_stored(LogitRule const& rule, ClassChunk const& chunk,
                                         Tensor const& labels, Tensor const& reference,
                                         Tensor const& rows, Columns& e) {
  visit_floating(e.dtype(), [&]<class T>() {
    using Acc = math::Accumulator<T>;
    int64_t const n = e.count;
    for_rows(e.rows(), n, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        Acc const* const factors = rows.data<Acc>() + RowGradient::count * r;
        T* const out = e.data<T>() + r * e.pitch();
        if (RowGradient::counts(factors))
          stored_row(factors, reference.data<Acc>()[r], static_cast<Acc>(rule.scale),
                     data_or_null<Acc>(chunk.weights), n, labels.data<int64_t>()[r] - chunk.first,
                     out);
        else
          std::fill_n(out, n, T(Acc(0)));
      }
    });
  });
}

}  // namespace core::cpu
