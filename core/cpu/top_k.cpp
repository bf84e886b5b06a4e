#include "core/math/top_k.h"
#include "core/cpu/kernels.h"
#include "core/cpu/rows.h"
#include "core/dispatch.h"

namespace core::cpu {
namespace {

/// Skips pieces whose maximum is below the k-th best score so far; that is most of them.
template <class Acc>
void row_top_k(Acc const* z, int64_t n, int64_t first, math::Best<Acc> best) {
  constexpr int64_t piece = 64;
  for (int64_t begin = 0; begin < n; begin += piece) {
    int64_t const end = std::min(n, begin + piece);
    if (simd_max<Acc>(end - begin, [=](int64_t i) { return z[begin + i]; }) <
        best.scores[best.k - 1])
      continue;
    for (int64_t c = begin; c < end; ++c)
      if (best.admits(z[c], first + c)) best.insert(z[c], first + c);
  }
}

}  // namespace

void CpuKernels::top_k(Tensor const& z, int64_t first, Tensor& scores, Tensor& classes) {
  if (scores.count() == 0) return;
  visit_wide(z.dtype(), [&]<class Acc>() {
    int64_t const n = channels(z), k = channels(scores);
    for_rows(rows(z), n,
             [=, in = z.data<Acc>(), best = scores.data<Acc>(), number = classes.data<int64_t>()](
                 int64_t begin, int64_t end) {
               for (int64_t r = begin; r < end; ++r)
                 row_top_k(in + r * n, n, first, math::Best<Acc>{best + r * k, number + r * k, k});
             });
  });
}

}  // namespace core::cpu
