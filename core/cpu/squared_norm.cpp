#include <vector>
#include "core/cpu/kernels.h"
#include "core/cpu/parallel.h"
#include "core/dispatch.h"
#include "core/math/update.h"

namespace core::cpu {
namespace {

/// Returns the sum of squares of each of `rows` rows, computed in tiles of a row.
std::vector<double> squares_of_rows(Tensor const& x, int64_t rows) {
  constexpr int64_t size = 1 << 14;
  int64_t const width = rows == 0 ? 0 : x.count() / rows, tiles = (width + size - 1) / size;
  std::vector<double> parts(static_cast<size_t>(rows * tiles)), sums(static_cast<size_t>(rows));
  visit_floating(x.dtype(), [&]<class T>() {
    auto const square_tile = [=, data = x.data<T>(), out = parts.data()](int64_t part) {
      int64_t const row = part / tiles, begin = (part - row * tiles) * size;
      T const* const from = data + row * width + begin;
      out[part] = simd_sum<double>(std::min(size, width - begin),
                                   [=](int64_t i) { return double(from[i]) * double(from[i]); });
    };
    for_blocks(rows * tiles, std::max<int64_t>(1, size / std::max<int64_t>(1, width)),
               [&](int64_t begin, int64_t end) {
                 for (int64_t part = begin; part < end; ++part) square_tile(part);
               });
  });
  for (size_t part = 0; part < parts.size(); ++part)
    sums[part / static_cast<size_t>(tiles)] += parts[part];
  return sums;
}

}  // namespace

void CpuKernels::add_squared_norm(Tensor const& x, Tensor& sum) {
  *sum.data<double>() += squares_of_rows(x, 1)[0];
}

void CpuKernels::clip_factor(double most, Tensor const& squares, Tensor& factor) {
  *factor.data<double>() = math::clip_factor(most, *squares.data<double>(), *factor.data<double>());
}

void CpuKernels::lars_trust_ratio(double eta, double decay, Tensor const& factor, Tensor const& g,
                                  Tensor const& w, Tensor& trust) {
  auto const of_w = squares_of_rows(w, trust.count()), of_g = squares_of_rows(g, trust.count());
  double const scale = factor ? *factor.data<double>() : 1;
  visit_wide(trust.dtype(), [&]<class Acc>() {
    Acc* const out = trust.data<Acc>();
    for (size_t row = 0; row < of_w.size(); ++row)
      out[row] = static_cast<Acc>(math::lars_trust_ratio(eta, decay, scale, of_w[row], of_g[row]));
  });
}

}  // namespace core::cpu
